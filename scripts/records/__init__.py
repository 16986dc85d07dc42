"""How finished runs are read: from the store under ``outputs/``, or from the files that were published of it."""
