"""The API document tells of every route, and nothing in it contradicts its own schemas."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from gamify import errors
from gamify.api.guard import GUARDED, scope_of
from gamify.errors import DomainError
from gamify.services.api_keys import SCOPES
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.harness import BASE, Api

ADDRESS = "/api/v1/openapi.json"
METHODS = {"get", "post", "put", "patch", "delete"}
REFERENCE = re.compile(r'(?:src|href|data-document|action)="([^"]*)"')


@pytest.fixture(scope="module")
def document(app: Flask) -> dict[str, Any]:
    found: dict[str, Any] = app.test_client().get(ADDRESS).json
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS & set(item):
            yield path, method, item[method]


def guarded(app: Flask) -> Iterator[tuple[str, str, str]]:
    """Return every path, method and endpoint that needs a key."""
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith(GUARDED):
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                yield re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule), method, rule.endpoint


def mistakes(document: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    whole = schema | {"components": document["components"]}
    return [error.message for error in Draft202012Validator(whole).iter_errors(value)]


def contents(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return what every operation takes and answers, by media type."""
    for _, _, operation in operations(document):
        yield from operation.get("requestBody", {}).get("content", {}).values()
        for response in operation["responses"].values():
            yield from response.get("content", {}).values()


def test_document_is_valid_openapi_3_1(document: dict[str, Any]):
    assert document["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_every_guarded_route_is_documented_and_nothing_else_is(app: Flask, document: dict[str, Any]):
    documented = {(path, method.upper()) for path, method, _ in operations(document)}

    assert documented == {(path, method) for path, method, _ in guarded(app)}


def test_every_address_of_the_founding_document_is_there(document: dict[str, Any]):
    assert {
        ("/api/v1/gamify/points/award", "post"),
        ("/api/v1/gamify/points/deduct", "post"),
        ("/api/v1/gamify/points/award-batch", "post"),
        ("/api/v1/gamify/participants/{participant_id}/points", "get"),
        ("/api/v1/gamify/participants/{participant_id}/points/transactions", "get"),
    } <= {(path, method) for path, method, _ in operations(document)}


def test_every_guarded_route_has_a_scope(app: Flask):
    for path, method, endpoint in guarded(app):
        assert scope_of(app, endpoint, method) in SCOPES, path


def test_every_guarded_route_refuses_a_missing_key(app: Flask, api: Api):
    for path, method, _ in guarded(app):
        answer = api.with_key(None).request(method, path)
        assert (answer.status, answer.code) == (401, "unauthenticated"), path


def test_every_operation_asks_for_the_key(document: dict[str, Any]):
    scheme = document["components"]["securitySchemes"]["X-API-Key"]

    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "X-API-Key")
    for path, _, operation in operations(document):
        assert operation.get("security", document["security"]) == [{"X-API-Key": []}], path


def test_every_operation_is_described_with_its_problems(document: dict[str, Any]):
    for path, method, operation in operations(document):
        assert operation["summary"], path
        expected = {"200", "401", "403", "429", "503"} | ({"400", "413", "415", "422"} if method == "post" else {"404", "422"})
        assert expected - set(operation["responses"]) <= {"404"}, path
        for status, response in operation["responses"].items():
            assert "X-Request-ID" in response["headers"]
            answered = {"application/json", "text/csv"} if path.startswith(f"{BASE}/reports/") else {"application/json"}
            assert set(response["content"]) == (answered if status == "200" else {"application/problem+json"})


def test_every_body_and_answer_has_an_example(document: dict[str, Any]):
    assert all("example" in content or "examples" in content for content in contents(document))


def test_every_example_validates_against_its_own_schema(document: dict[str, Any]):
    for content in contents(document):
        examples = [content["example"]] if "example" in content else [e["value"] for e in content["examples"].values()]
        for example in examples:
            assert mistakes(document, content["schema"], example) == [], example


def test_what_is_answered_is_what_the_document_says(api: Api, document: dict[str, Any]):
    """Busy routes answer past their schemas; exactly the documented members may come out of that."""
    award = api.award("ann", 600, idempotency_key="k", metadata={"a": 1})
    ladder = {"revision": 1, "tiers": [{"code": "high", "threshold": 5_000}], "qualification": {"basis": "lifetime"}}
    answers = {
        ("/points/award", "post"): award,
        ("/points/deduct", "post"): api.deduct("ann", 5),
        ("/points/award-batch", "post"): api.batch([{"participant_id": "bob", "amount": 1}, {}]),
        ("/participants/{participant_id}/points", "get"): api.points("ann"),
        ("/participants/{participant_id}/points/transactions", "get"): api.history("ann"),
        ("/points/transactions", "get"): api.request("GET", f"{BASE}/points/transactions"),
        ("/tiers/draft", "put"): api.request("PUT", f"{BASE}/tiers/draft", body=ladder),
        ("/tiers/draft", "get"): api.request("GET", f"{BASE}/tiers/draft"),
        ("/tiers/preview", "post"): api.request("POST", f"{BASE}/tiers/preview", body={"falling": "move_down", "movers": {}}),
        ("/tiers/versions", "get"): api.request("GET", f"{BASE}/tiers/versions"),
        ("/tiers", "get"): api.request("GET", f"{BASE}/tiers"),
        **{
            (f"/reports/{name}", "get"): api.request("GET", f"{BASE}/reports/{name}?compare=previous")
            for name in ("roll-forward", "liability", "tiers", "activity")
        },
        ("/reports/liability/ages", "get"): api.request("GET", f"{BASE}/reports/liability/ages"),
    }
    assert answers["/tiers/preview", "post"].json["movers"]["participants"]
    for (path, method), answer in answers.items():
        content = document["paths"][BASE + path][method]["responses"]["200"]["content"]["application/json"]
        schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        assert answer.status == 200
        assert mistakes(document, content["schema"], answer.json) == []
        assert set(answer.json) == set(schema["properties"]), path
    assert award.json["tier_upgrade"]["code"] == "silver"


def test_every_example_of_a_member_validates(document: dict[str, Any]):
    members = [p for schema in document["components"]["schemas"].values() for p in schema.get("properties", {}).items()]
    parameters = [(p["name"], p["schema"]) for _, _, operation in operations(document) for p in operation.get("parameters", [])]

    for name, schema in members + parameters:
        for example in schema.get("examples", []):
            assert mistakes(document, schema, example) == [], name


@pytest.mark.parametrize(
    ("award", "is_valid"),
    [
        ({"participant_id": "p", "amount": 1}, True),
        ({"participant_id": "p", "amount": 1_000_000, "reason": None, "metadata": None, "idempotency_key": None}, True),
        ({"participant_id": "\n\u200b", "amount": 1}, True),
        ({"participant_id": "p"}, False),
        ({"participant_id": "", "amount": 1}, False),
        ({"participant_id": " \n", "amount": 1}, False),
        ({"participant_id": "..", "amount": 1}, False),
        ({"participant_id": "a\0", "amount": 1}, False),
        ({"participant_id": "x" * 256, "amount": 1}, False),
        ({"participant_id": "p", "amount": 0}, False),
        ({"participant_id": "p", "amount": 1.5}, False),
        ({"participant_id": "p", "amount": True}, False),
        ({"participant_id": "p", "amount": 1_000_001}, False),
        ({"participant_id": "p", "amount": 1, "reason": "x" * 501}, False),
        ({"participant_id": "p", "amount": 1, "metadata": []}, False),
        ({"participant_id": "p", "amount": 1, "idempotency_key": ""}, False),
        ({"participant_id": "p", "amount": 1, "idempotency_key": "k" * 256}, False),
        ({"participant_id": "p", "amount": 1, "idempotencyKey": "k"}, False),
    ],
)
def test_schema_and_api_are_of_one_mind(api: Api, document: dict[str, Any], award: dict[str, Any], *, is_valid: bool):
    for operation in ("award", "deduct"):
        content = document["paths"][f"/api/v1/gamify/points/{operation}"]["post"]["requestBody"]["content"]["application/json"]
        assert (mistakes(document, content["schema"], award) == []) == is_valid

    assert api.request("POST", "/api/v1/gamify/points/award", body=award).status == (200 if is_valid else 422)


def test_answers_are_as_documented(api: Api, document: dict[str, Any]):
    schemas = document["components"]["schemas"]
    award = api.award("p", 600, reason="r", metadata={"a": 1})

    for name, answer in (
        ("Awarded", award),
        ("Awarded", api.award("p", 1)),
        ("Deducted", api.deduct("p", 1)),
        ("BatchAnswer", api.batch([{"participant_id": "p", "amount": 1}, None])),
        ("Points", api.points("p")),
        ("History", api.history("p")),
        ("Problem", api.points("nobody")),
        ("Problem", api.award("p", 0)),
    ):
        assert mistakes(document, schemas[name], answer.json) == [], name
        assert set(answer.json) <= set(schemas[name]["properties"])


def test_docs_are_served_under_a_strict_policy(api: Api):
    answer = api.with_key(None).request("GET", "/docs")

    policy = dict(directive.strip().split(" ", 1) for directive in answer.headers["Content-Security-Policy"].split(";"))
    assert answer.status == 200
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_docs_need_nothing_from_elsewhere(api: Api):
    page = api.request("GET", "/docs").body.decode()
    references = {reference.partition("#")[0] for reference in REFERENCE.findall(page)}

    assert {ADDRESS, "/static/docs.js"} <= {reference.partition("?")[0] for reference in references}
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", page)
    for reference in references:
        assert reference.startswith("/")
        assert not reference.startswith("//")
        assert api.request("GET", reference).status == 200, reference


def test_docs_explain_every_code(api: Api, document: dict[str, Any]):
    def codes(kind: type[DomainError]) -> set[str]:
        return {kind.code}.union(*(codes(each) for each in kind.__subclasses__() if each is not errors.OnPages))

    page = api.request("GET", "/docs").body.decode()
    examples = [content["example"] for content in contents(document) if isinstance(content.get("example"), dict)]
    shown = [example["code"] for example in examples if "code" in example]

    assert errors.InsufficientPoints.code in codes(DomainError)
    for code in codes(DomainError) | set(shown) | {"method_not_allowed"}:
        assert f'id="problem-{code}"' in page


def test_home_leads_to_a_page(api: Api):
    answer = api.with_key(None).request("GET", "/")

    assert answer.status == 302
    assert answer.headers["Location"] == "/dashboard/"
