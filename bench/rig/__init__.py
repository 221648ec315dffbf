"""What the measuring programs of this folder share: processes, loads, configurations, tables."""
