"""What would stop a run, found before it starts. In: settings. Out: findings, each with its fix."""
