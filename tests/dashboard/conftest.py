"""A tenant's key, and a browser in which its admin is signed in."""

import pytest

from tests.harness import Api
from tests.people import Browser, new_user


@pytest.fixture
def api(app, tenant) -> Api:
    return Api(app.test_client(), tenant.key)


@pytest.fixture
def browser(app, here, tenant) -> Browser:
    """An admin's."""
    found = Browser(app)
    found.sign_in(new_user(here, tenant.slug).email)
    return found
