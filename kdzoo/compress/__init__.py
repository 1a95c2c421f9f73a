"""``kdzoo compress``: from a folder of pictures to a small network in use. It may change with any release."""
