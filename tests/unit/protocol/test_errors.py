"""Errors as they cross: whatever the other side put in their details."""

from stead.protocol.errors import BY_STATUS, TABLE, Fault, SteadError


def test_details_may_be_called_anything() -> None:
    details = {"code": "x", "message": "y", "self": "z"}
    error = SteadError.of(Fault(code="not_found", message="there is nothing", details=details))
    assert (error.code, error.message, error.details) == ("not_found", "there is nothing", details)
    assert error.fault().details == details


def test_a_bare_status_is_an_error_of_the_same_kind() -> None:
    for status, code in BY_STATUS.items():
        assert TABLE[code].status // 100 == status // 100, status
