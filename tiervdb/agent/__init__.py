"""The agent: keeps databases safe by schedule, and says how they are."""
