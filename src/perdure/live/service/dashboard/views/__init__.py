"""What the pages show, as plain data: functions from a project to frozen values."""
