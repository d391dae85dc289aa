"""Everything that is tested: unit, system and fault tests, and the lab of real parts that they run against."""
