"""The APIs of three makers of models: how each says an answer, whole or as a stream of events."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.agents.real.answers import Answer

Event = tuple[str, Mapping[str, Any]]
"""The name of an event of a stream ("" where the API names none), and its data."""

WRITE_TOOLS = {
    "Write": {"file_path": "{path}", "content": "{content}"},  # claude
    "Edit": {
        "file_path": "{path}",
        "old_string": "",
        "new_string": "{content}",
    },  # claude --bare, which has no Write
    "write": {"filePath": "{path}", "content": "{content}"},  # opencode
    "write_file": {"file_path": "{path}", "content": "{content}"},  # gemini
}
RUN_TOOLS = {
    "Bash": "command",  # claude
    "bash": "command",  # opencode
    "run_shell_command": "command",  # gemini
    "exec_command": "cmd",  # codex
    "shell_command": "command",
}
UNASKED = {"Anthropic": "Bash", "Responses": "exec_command", "Gemini": "run_shell_command"}
"""What runs a command where the program offers the model no such tool: a call that it has to refuse."""

STRUCTURED = "StructuredOutput"
"""The tool by which claude takes a structured output."""


def call_of(answer: Answer, tools: Sequence[str], api: str) -> tuple[str, Mapping[str, Any]] | None:
    """The call that an answer makes, in the words of a program that has these tools."""
    if answer.call:
        return answer.call
    if answer.write:
        return _writing(answer.write, tools, api)
    if answer.run:
        return _running(answer.run, tools, api)
    if answer.result is not None and STRUCTURED in tools:
        return STRUCTURED, answer.result
    return None


def _writing(file: Mapping[str, str], tools: Sequence[str], api: str) -> tuple[str, Mapping[str, Any]]:
    for name, taken in WRITE_TOOLS.items():
        if name in tools:
            return name, {key: value.format_map(file) for key, value in taken.items()}
    return _running(f"cat > {file['path']} <<'END'\n{file['content']}\nEND\n", tools, api)


def _running(command: str, tools: Sequence[str], api: str) -> tuple[str, Mapping[str, Any]]:
    name = next((tool for tool in RUN_TOOLS if tool in tools), UNASKED[api])
    return name, {RUN_TOOLS[name]: command}


def text_of(answer: Answer) -> str:
    """The text of an answer that calls no tool."""
    return answer.text if answer.result is None else json.dumps(answer.result)


class Anthropic:
    """The Messages API."""

    @staticmethod
    def tools(request: Mapping[str, Any]) -> list[str]:
        return [tool["name"] for tool in request.get("tools", ())]

    @staticmethod
    def whole(answer: Answer, request: Mapping[str, Any], number: int) -> dict[str, Any]:
        call = call_of(answer, Anthropic.tools(request), "Anthropic")
        block = (
            {"type": "tool_use", "id": f"toolu_{number:04}", "name": call[0], "input": call[1]}
            if call
            else {"type": "text", "text": text_of(answer)}
        )
        used = answer.usage
        return {
            "id": f"msg_{number:04}",
            "type": "message",
            "role": "assistant",
            "model": request["model"],
            "content": [block],
            "stop_reason": "tool_use" if call else "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": used.input,
                "cache_read_input_tokens": used.cache_read,
                "cache_creation_input_tokens": used.cache_write,
                "output_tokens": used.output,
            },
        }

    @staticmethod
    def stream(answer: Answer, request: Mapping[str, Any], number: int) -> list[Event]:
        message = Anthropic.whole(answer, request, number)
        (block,) = message["content"]
        if block["type"] == "tool_use":
            start = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        else:
            start, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": block["text"]}
        opened = {**message, "content": [], "stop_reason": None}
        ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
        events: list[dict[str, Any]] = [
            {
                "type": "message_start",
                "message": {**opened, "usage": {**message["usage"], "output_tokens": 1}},
            },
            {"type": "content_block_start", "index": 0, "content_block": start},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": ended, "usage": message["usage"]},
            {"type": "message_stop"},
        ]
        return [(event["type"], event) for event in events]

    @staticmethod
    def trouble(answer: Answer) -> dict[str, Any]:
        kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
        kinds |= {400: "invalid_request_error", 429: "rate_limit_error", 529: "overloaded_error"}
        kind = kinds.get(answer.status, "api_error")
        error = {"type": kind, "message": answer.message, **answer.error}
        return {"type": "error", "error": error, "request_id": "req_0001"}


def _in_namespace(name: str, request: Mapping[str, Any]) -> tuple[str, str] | None:
    """The namespace and the name in it of a tool, where codex sorts its tools so: those of MCP servers."""
    for space in (tool for tool in request.get("tools", ()) if tool["type"] == "namespace"):
        for tool in space["tools"]:
            if name in (f"{space['name']}{tool['name']}", f"{space['name']}__{tool['name']}"):
                return space["name"], tool["name"]
    return None


class Responses:
    """OpenAI's Responses API."""

    @staticmethod
    def tools(request: Mapping[str, Any]) -> list[str]:
        return [tool.get("name", tool["type"]) for tool in request.get("tools", ())]

    @staticmethod
    def whole(answer: Answer, request: Mapping[str, Any], number: int) -> dict[str, Any]:
        call = call_of(answer, Responses.tools(request), "Responses")
        used = answer.usage
        item: dict[str, Any] = (
            {
                "type": "function_call",
                "id": f"fc_{number:04}",
                "call_id": f"call_{number:04}",
                "name": call[0],
                "arguments": json.dumps(call[1]),
            }
            if call
            else {
                "type": "message",
                "id": f"msg_{number:04}",
                "role": "assistant",
                "content": [{"type": "output_text", "text": text_of(answer), "annotations": []}],
            }
        )
        if call and (spaced := _in_namespace(call[0], request)):
            item["namespace"], item["name"] = spaced
        taken = used.input + used.cache_read + used.cache_write
        return {
            "id": f"resp_{number:04}",
            "object": "response",
            "status": "completed",
            "model": request["model"],
            "output": [{**item, "status": "completed"}],
            "usage": {
                "input_tokens": taken,
                "input_tokens_details": {"cached_tokens": used.cache_read},
                "output_tokens": used.output,
                "output_tokens_details": {"reasoning_tokens": used.reasoning},
                "total_tokens": taken + used.output,
            },
        }

    @staticmethod
    def stream(answer: Answer, request: Mapping[str, Any], number: int) -> list[Event]:
        response = Responses.whole(answer, request, number)
        (item,) = response["output"]
        opened = {**response, "status": "in_progress", "output": [], "usage": None}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": opened},
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {**item, "status": "in_progress"},
            },
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": response},
        ]
        return [(event["type"], {**event, "sequence_number": at}) for at, event in enumerate(events)]

    @staticmethod
    def trouble(answer: Answer) -> dict[str, Any]:
        kinds = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
        code = kinds.get(answer.status, "server_error")
        error = {"message": answer.message, "type": code, "param": None, "code": code}
        return {"error": {**error, **answer.error}}


class Gemini:
    """Google's generateContent."""

    @staticmethod
    def tools(request: Mapping[str, Any]) -> list[str]:
        declared = [tool.get("functionDeclarations", ()) for tool in request.get("tools", ())]
        return [function["name"] for function in itertools.chain.from_iterable(declared)]

    @staticmethod
    def whole(answer: Answer, request: Mapping[str, Any], number: int) -> dict[str, Any]:
        call = call_of(answer, Gemini.tools(request), "Gemini")
        used = answer.usage
        part: dict[str, Any] = (
            {"functionCall": {"name": call[0], "args": call[1]}, "thoughtSignature": "c3R1Yg=="}
            if call
            else {"text": text_of(answer)}
        )
        taken = used.input + used.cache_read + used.cache_write
        return {
            "responseId": f"resp_{number:04}",
            "modelVersion": request["model"],
            "candidates": [
                {"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
            ],
            "usageMetadata": {
                "promptTokenCount": taken,
                "cachedContentTokenCount": used.cache_read,
                "candidatesTokenCount": used.output,
                "thoughtsTokenCount": used.reasoning,
                "totalTokenCount": taken + used.output + used.reasoning,
            },
        }

    @staticmethod
    def stream(answer: Answer, request: Mapping[str, Any], number: int) -> list[Event]:
        return [("", Gemini.whole(answer, request, number))]

    @staticmethod
    def trouble(answer: Answer) -> dict[str, Any]:
        kinds = {
            401: "UNAUTHENTICATED",
            403: "PERMISSION_DENIED",
            404: "NOT_FOUND",
            429: "RESOURCE_EXHAUSTED",
        }
        error: dict[str, Any] = {"code": answer.status, "message": answer.message}
        error["status"] = kinds.get(answer.status, "UNAVAILABLE")
        if seconds := answer.headers.get("retry-after"):
            kind = "type.googleapis.com/google.rpc.RetryInfo"
            error["details"] = [{"@type": kind, "retryDelay": f"{seconds}s"}]
        return {"error": {**error, **answer.error}}
