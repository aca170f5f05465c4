"""What people see: a search while it runs, its report when it has ended, and runs compared."""
