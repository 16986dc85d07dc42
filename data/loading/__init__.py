"""What data sets share: the cache of prepared arrays, downloads, options, image and ECG files."""
