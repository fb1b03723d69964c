"""An MCP server of the protocol's own Python SDK, unmodified: two tools over streamable HTTP on a free port of loopback.

Prints the address, and serves until it is killed.
"""

import socket

import uvicorn
from mcp.server.mcpserver import MCPServer

server = MCPServer("verify")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def fail() -> str:
    """Fails."""
    raise ValueError("this tool fails")


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
config = uvicorn.Config(server.streamable_http_app(), log_level="error")
uvicorn.Server(config).run(sockets=[listener])
