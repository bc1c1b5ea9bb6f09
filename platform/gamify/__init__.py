"""Points and tiers for many businesses: everything that is not HTML."""
