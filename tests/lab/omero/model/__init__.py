"""The OMERO object model: its classes, its rows in memory and on disk, and the Ice objects made of them."""
