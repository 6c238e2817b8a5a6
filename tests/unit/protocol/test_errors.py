"""Errors as they cross: whatever the other side put in their details."""

from stead.protocol.errors import Fault, SteadError


def test_details_may_be_called_anything() -> None:
    details = {"code": "x", "message": "y", "self": "z"}
    error = SteadError.of(Fault(code="not_found", message="there is nothing", details=details))
    assert (error.code, error.message, error.details) == ("not_found", "there is nothing", details)
    assert error.fault().details == details
