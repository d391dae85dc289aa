"""Result image files of any kind, read plane by plane into OMERO's five dimensions (T, C, Z, Y, X)."""
