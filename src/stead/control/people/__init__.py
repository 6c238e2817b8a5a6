"""Who may do what: users, tokens, sessions, one-time logins, tickets, and the audit log of what they did."""
