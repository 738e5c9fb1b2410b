"""Who may call a tool, as Messages and Responses both say it: other formats have the model itself alone."""

from keyhouse.gateway.wire.fields import Fields, unsupported


def require_direct_calls(tool: Fields) -> None:
    """Raise Error `unsupported_parameter` for a tool that the model itself may not call."""
    if tool.has("allowed_callers") and "direct" not in tool.texts("allowed_callers"):
        raise unsupported(tool.at("allowed_callers"), "Tools of other formats are called by the model itself, and by nothing else.")
