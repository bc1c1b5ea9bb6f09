"""What commands load, so that a process forked from one that has imported this has it already."""

# ruff: noqa: F401

import alembic.autogenerate
import alembic.command
import flask_migrate
import gamify.app
import gamify.cli.audit
import gamify.cli.demo
import gamify.cli.jobs
import gamify.cli.keys
import gamify.cli.rollups
import gamify.cli.serve
import gamify.cli.tenants
import gamify.cli.tiers
import gamify.cli.users
import gamify.cli.verify
import gamify.cli.worker

import dashboard
