"""Reports: what the ledger adds up to, period by period, from the rollups, so that they tie to the last point."""
