import { csrfHeaders, problemOf } from "./client";

/** Send a form with files. XMLHttpRequest because `fetch` does not report how much of a body was sent. */
export function upload<T>(path: string, form: FormData, onSent: (share: number) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.responseType = "json";
    for (const [name, value] of Object.entries(csrfHeaders())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onSent(event.lengthComputable ? event.loaded / event.total : 0);
    request.onload = () =>
      request.status < 400 && request.response
        ? resolve(request.response as T)
        : reject(problemOf(request.status, request.response));
    request.onerror = () =>
      reject(problemOf(0, { detail: "The service does not answer, or it closed the connection." }));
    request.send(form);
  });
}
