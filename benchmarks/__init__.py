"""What `make bench` measures, and the yardsticks it is measured against."""
