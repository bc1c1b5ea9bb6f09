"""`gamify users`."""

import sys

import click

from gamify.cli.shared import as_json, operator_at_terminal, show, with_deployment
from gamify.deployment import Deployment
from gamify.services import tenants
from gamify.services import users as service


@click.group()
def users() -> None:
    """People who can sign in."""


@users.command()
@click.argument("slug", required=False)
@click.option("--email", required=True)
@click.option("--role", type=click.Choice(["admin", "analyst"]), help="What staff of a tenant may do.")
@click.option("--operator", "is_operator", is_flag=True, help="Somebody who runs the platform, without a tenant.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input; otherwise one is made.")
@as_json
@with_deployment
def create(
    here: Deployment, slug: str | None, email: str, role: str | None, is_operator: bool, password_stdin: bool, is_json: bool
) -> None:
    """Create someone who can sign in: staff of the tenant SLUG, or an operator."""
    if is_operator == bool(slug) or is_operator == bool(role):
        raise click.UsageError("Give SLUG and --role for staff of a tenant, or --operator alone.")
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else service.new_password()
    with here.database.transaction() as session:
        tenant = tenants.get(session, slug) if slug else None
        user = service.create(
            session, tenant=tenant, email=email, role=role or "operator", password=password, actor=operator_at_terminal()
        )
    made = {} if password_stdin else {"password": password}
    text = f"Created {email} ({user.role})." + (f"\nPassword: {password}" if made else "")
    show({"email": email, "role": user.role, **made}, is_json=is_json, text=text)
