"""Routes that take files: files of a request that ends within one, or is refused, are closed at once.

Starlette closes them for two kinds of errors only. In all other cases the space on disk was free when the garbage
collector happened to find them.
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
