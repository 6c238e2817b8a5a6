"""The public request and answer types of `/api/v1`: data only, nothing that acts. OpenAPI and TypeScript come from here."""
