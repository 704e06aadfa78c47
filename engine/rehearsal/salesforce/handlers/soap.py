"""SOAP ``login()``, kept by the service for API versions up to 64.0; older client libraries log in this way."""

from __future__ import annotations

from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from engine.rehearsal.salesforce.org import Org
from engine.rehearsal.salesforce.settings import LAST_SOAP_LOGIN_VERSION
from engine.rehearsal.salesforce.wire import ApiRequest, ApiResponse

_XML = "text/xml;charset=UTF-8"
_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns="urn:partner.soap.sforce.com" xmlns:sf="urn:fault.partner.soap.sforce.com"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>'
)


def login(org: Org, request: ApiRequest) -> ApiResponse:
    """``POST /services/Soap/u/62.0``: a session for user name and password+token, or a 500 fault."""
    if float(request.params["soap"]) > LAST_SOAP_LOGIN_VERSION:
        return _fault("UNSUPPORTED_API_VERSION", "login() is not available in this API version")
    try:
        # The body comes from our own tests over loopback; expat here expands no external entities.
        tree = ET.fromstring(request.body)  # noqa: S314
    except ET.ParseError:
        return _fault("soapenv:Client", "the request is not well-formed XML")
    namespace = "{urn:partner.soap.sforce.com}"
    username = tree.findtext(f".//{namespace}username")
    password = tree.findtext(f".//{namespace}password")
    settings = org.settings
    if (username, password) == (settings.username, settings.password):
        return _fault(
            "LOGIN_MUST_USE_SECURITY_TOKEN",
            "Invalid username, password, security token; or user locked out. Are you at a new location?",
        )
    if (username, password) != (settings.username, settings.password + settings.security_token):
        return _fault("INVALID_LOGIN", "Invalid username, password, security token; or user locked out.")
    server = f"{org.instance_url}/services/Soap/u/{request.params['soap']}/{org.org_id[:15]}"
    body = (
        "<loginResponse><result>"
        f"<metadataServerUrl>{escape(server.replace('/u/', '/m/'))}</metadataServerUrl>"
        "<passwordExpired>false</passwordExpired>"
        f"<sandbox>{str(settings.is_sandbox).lower()}</sandbox>"
        f"<serverUrl>{escape(server)}</serverUrl>"
        f"<sessionId>{escape(org.sessions.open(org.user_id))}</sessionId>"
        f"<userId>{org.user_id}</userId>"
        f"<userInfo><organizationId>{org.org_id}</organizationId><organizationName>{escape(settings.org_name)}"
        f"</organizationName><sessionSecondsValid>{int(settings.session_idle_s)}</sessionSecondsValid>"
        f"<userName>{escape(settings.username)}</userName></userInfo>"
        "</result></loginResponse>"
    )
    return ApiResponse(body=_ENVELOPE.format(body=body).encode(), content_type=_XML)


def _fault(code: str, message: str) -> ApiResponse:
    full = f"{code}: {message}"
    body = (
        f"<soapenv:Fault><faultcode>sf:{code}</faultcode><faultstring>{escape(full)}</faultstring><detail>"
        f'<sf:LoginFault xsi:type="sf:LoginFault"><sf:exceptionCode>{code}</sf:exceptionCode>'
        f"<sf:exceptionMessage>{escape(message)}</sf:exceptionMessage></sf:LoginFault></detail></soapenv:Fault>"
    )
    return ApiResponse(status=500, body=_ENVELOPE.format(body=body).encode(), content_type=_XML)
