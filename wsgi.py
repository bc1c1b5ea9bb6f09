"""`flask --app wsgi …`, and any WSGI server."""

from gamify.app import create_app

app = create_app()
