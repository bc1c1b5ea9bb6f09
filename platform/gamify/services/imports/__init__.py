"""Coming from another system: opening balances and histories from CSV."""
