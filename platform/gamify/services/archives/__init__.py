"""Taking everything away: a tenant as one documented file, and such a file as a tenant."""
