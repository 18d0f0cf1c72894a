"""Images, jars, and the pins that a lock file keeps of them."""
