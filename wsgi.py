"""`flask --app wsgi …`, and any WSGI server."""

from gamify import schema
from gamify.app import create_app

app = create_app()
schema.init_app(app)
