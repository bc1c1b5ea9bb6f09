"""`flask --app wsgi …`, and any WSGI server."""

from gamify.app import create_app_with_migrations

app = create_app_with_migrations()
