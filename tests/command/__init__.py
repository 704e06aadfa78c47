"""The installed command against real stand-ins: what a person types, sees, and can rely on afterwards."""
