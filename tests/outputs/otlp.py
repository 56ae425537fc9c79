"""Takes OpenTelemetry logs over HTTPS, decodes them by the published types of another language,
and writes each record as one line of JSON: python otlp.py PORT CERT KEY OUT"""

import gzip
import http.server
import json
import ssl
import sys

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as service

PORT, CERT, KEY, OUT = int(sys.argv[1]), *sys.argv[2:]


def plain(attributes):
    return {each.key: each.value.string_value for each in attributes}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        good = (
            self.path == "/v1/logs"
            and self.headers["content-type"] == "application/x-protobuf"
            and self.headers["x-tenant"] == "one"
        )
        request = service.ExportLogsServiceRequest()
        request.ParseFromString(body)
        with open(OUT, "a", encoding="utf-8") as out:
            for resource in request.resource_logs:
                about = plain(resource.resource.attributes)
                for scope in resource.scope_logs:
                    for record in scope.log_records:
                        line = {
                            "resource": about,
                            "time": record.time_unix_nano,
                            "observed": record.observed_time_unix_nano,
                            "attributes": plain(record.attributes),
                            "body": record.body.string_value,
                        }
                        out.write(json.dumps(line) + "\n")
        answer = service.ExportLogsServiceResponse().SerializeToString()
        self.send_response(200 if good else 400)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that does not trust the certificate goes away."""


server = Server(("127.0.0.1", PORT), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERT, KEY)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
