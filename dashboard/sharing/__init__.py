"""Who may reach the server: the guard in front of every route, the shared password and its sessions."""
