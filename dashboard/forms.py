"""What forms have in common: values as they were typed, and what is wrong with them next to each field."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Response, make_response, render_template, request
from gamify.errors import Conflict, DomainError, Invalid

from dashboard.htmx import render

SECRET = ("password", "new_password", "code", "csrf_token", "ticket")


@dataclass
class Form:
    """Values of a form, and what was refused."""

    values: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    refusal: DomainError | None = None

    @property
    def is_fine(self) -> bool:
        """Whether nothing was refused."""
        return self.refusal is None

    @property
    def status(self) -> int:
        """The status of a page with this form on it."""
        return self.refusal.status if self.refusal else 200

    def get(self, name: str) -> str:
        """What was sent, as it was sent."""
        return request.form.get(name, "")

    def refuse(self, error: DomainError) -> None:
        """Show an error at its field, or above the form if it has none."""
        self.refusal = error
        errors = error.errors if isinstance(error, Invalid) else []
        self.errors |= {each.field: each.message for each in errors} or {"form": str(error)}

    @contextmanager
    def showing(self, *kinds: type[DomainError]) -> Iterator[None]:
        """Show these errors with the form instead of on a page of their own."""
        try:
            yield
        except DomainError as error:
            if not isinstance(error, kinds or (Invalid, Conflict)):
                raise
            self.refuse(error)


def sent() -> Form:
    """Return the form that was sent. What is secret does not come back into the page."""
    return Form({name: value for name, value in request.form.items() if name not in SECRET})


def show(template: str, form: Form, **values: object) -> Response:
    """Render a page with a form, with the status and headers of what was refused."""
    page = make_response(render_template(template, form=form, **values), form.status)
    if form.refusal is not None:
        page.headers.extend(form.refusal.headers)
    return page


def ask(question: str, *, title: str, leads_back: str, **values: Any) -> Response:
    """Show a form that asks before something is done: in the drawer beside a list, or on a page of its own."""
    partials = {"drawer-content": question}
    return render("asked.html", partials=partials, title=title, leads_back=leads_back, question=question, **values)
