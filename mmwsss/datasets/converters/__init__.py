"""Conversion of public annotation formats into label files, split lists and masks."""
