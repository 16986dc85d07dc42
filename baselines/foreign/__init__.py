"""Models of other programs: their files, their outputs as labels of two classes, their storage without pickle."""
