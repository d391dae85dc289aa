"""What notebooks and the web plugin know: `SlurmClient`, under the names that they have always used; a thin face."""
