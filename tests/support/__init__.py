"""What several test folders share: real engines, deadlines. Nothing here knows Stead's own modules."""
