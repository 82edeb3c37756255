"""Routes that take files: those of a request that is refused, or that ends inside a file, are closed at once.

Starlette closes them for two kinds of errors only. In all other cases their space on disk would be freed when the
garbage collector finds them.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.exceptions import HTTPException
from fastapi.routing import APIRoute
from starlette._utils import AwaitableOrContextManager, AwaitableOrContextManagerWrapper
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response


class UploadRoute(APIRoute):
    """A route whose request is an `UploadRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            return await handle(UploadRequest(request.scope, request.receive))

        return answer


class UploadRequest(Request):
    """A request that closes the files of form data that could not be read to its end."""

    def form(self, **limits: Any) -> AwaitableOrContextManager[FormData]:
        """See Starlette."""
        if not self.headers.get("Content-Type", "").lower().startswith("multipart/form-data"):
            return super().form(**limits)
        return AwaitableOrContextManagerWrapper(self._read(limits))

    async def _read(self, limits: dict[str, Any]) -> FormData:
        parser, whole = MultiPartParser(self.headers, self.stream(), **limits), FormData()
        try:
            whole = await parser.parse()
            return whole
        except MultiPartException as error:
            raise HTTPException(400, error.message) from error
        finally:
            kept = {id(value.file) for value in whole.values() if isinstance(value, UploadFile)}
            for file in parser._files_to_close_on_error:
                if id(file) not in kept:
                    file.close()
