"""The operator's page in a real browser: real service, real sandbox, real Chromium."""
