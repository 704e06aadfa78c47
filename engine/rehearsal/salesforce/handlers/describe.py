"""Describe: the schema as the API user sees it."""

from __future__ import annotations

from typing import Any

from engine.rehearsal.salesforce.org import Org
from engine.rehearsal.salesforce.schema import IDS, NUMERIC, TEXTUAL, Field, SObject
from engine.rehearsal.salesforce.settings import FIRST_VERSION, LAST_VERSION
from engine.rehearsal.salesforce.wire import ApiRequest, ApiResponse, as_json, not_found

_SEASONS = ("Winter", "Spring", "Summer")


def versions(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET /services/data``: needs no session and costs nothing."""
    return as_json([_version(number) for number in range(int(FIRST_VERSION), int(LAST_VERSION) + 1)])


def resources(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET /services/data/vXX.X``."""
    base = f"/services/data/v{request.version}"
    paths = {name: f"{base}/{name}" for name in ("sobjects", "query", "queryAll", "limits", "composite")}
    return as_json({"identity": f"{org.login_url}/id/{org.org_id}/{request.user_id()}", **paths})


def describe_global(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET …/sobjects``."""
    visible = [_summary(sobject, request.version) for sobject in org.schema if sobject.readable]
    return as_json({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": visible})


def describe(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET …/sobjects/X/describe``; fields the user may not read are absent."""
    sobject = org.schema.find(request.params["object"])
    if sobject is None:
        raise not_found()
    children = [
        {"childSObject": other.name, "field": item.name, "relationshipName": None, "cascadeDelete": False}
        for other in org.schema
        for item in other.fields
        if sobject.name in item.reference_to and other.readable and item.readable
    ]
    answer = _summary(sobject, request.version)
    answer["fields"] = [_field(sobject, item) for item in sobject.fields if item.readable]
    answer["childRelationships"] = children
    answer["recordTypeInfos"] = []
    return as_json(answer)


def basic(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET …/sobjects/X``."""
    sobject = org.schema.find(request.params["object"])
    if sobject is None:
        raise not_found()
    return as_json({"objectDescribe": _summary(sobject, request.version), "recentItems": []})


def _version(number: int) -> dict[str, str]:
    # Winter '25 is 62.0; three releases a year.
    since = number - 62
    label = f"{_SEASONS[since % 3]} '{25 + since // 3}"
    return {"label": label, "url": f"/services/data/v{number}.0", "version": f"{number}.0"}


def _summary(sobject: SObject, version: str) -> dict[str, Any]:
    base = f"/services/data/v{version}/sobjects/{sobject.name}"
    return {
        "activateable": False,
        "createable": sobject.updateable,
        "custom": sobject.custom,
        "customSetting": False,
        "deletable": sobject.updateable,
        "deprecatedAndHidden": False,
        "keyPrefix": sobject.key_prefix,
        "label": sobject.label,
        "labelPlural": f"{sobject.label}s",
        "layoutable": True,
        "mergeable": False,
        "name": sobject.name,
        "queryable": True,
        "replicateable": True,
        "retrieveable": True,
        "searchable": True,
        "triggerable": True,
        "undeletable": True,
        "updateable": sobject.updateable,
        "urls": {"sobject": base, "describe": f"{base}/describe", "rowTemplate": f"{base}/{{ID}}"},
    }


def _field(sobject: SObject, item: Field) -> dict[str, Any]:
    sized = item.type in TEXTUAL or item.type in IDS
    return {
        "aggregatable": item.filterable,
        "autoNumber": False,
        "byteLength": item.length * (3 if item.type in TEXTUAL else 1) if sized else 0,
        "calculated": item.calculated,
        "calculatedFormula": None,
        "cascadeDelete": False,
        "caseSensitive": False,
        "compoundFieldName": None,
        "controllerName": None,
        "createable": item.createable and sobject.updateable,
        "custom": item.name.endswith("__c"),
        "defaultValue": False if item.type == "boolean" else None,
        "defaultValueFormula": None,
        "defaultedOnCreate": item.type == "boolean" or not item.createable,
        "dependentPicklist": False,
        "deprecatedAndHidden": False,
        "digits": 9 if item.type == "int" else 0,
        "displayLocationInDecimal": False,
        "encrypted": item.type == "encryptedstring",
        "externalId": False,
        "extraTypeInfo": _extra(item),
        "filterable": item.filterable,
        "filteredLookupInfo": None,
        "groupable": item.filterable and item.type not in {"datetime", "double", "currency", "percent"},
        "highScaleNumber": False,
        "htmlFormatted": item.html,
        "idLookup": item.type == "id",
        "inlineHelpText": None,
        "label": item.label,
        "length": item.length if sized else 0,
        "mask": None,
        "maskType": None,
        "name": item.name,
        "nameField": item.name == "Name",
        "namePointing": False,
        "nillable": item.nillable,
        "permissionable": item.updateable,
        "picklistValues": [
            {"active": True, "defaultValue": False, "label": value, "validFor": None, "value": value}
            for value in item.values
        ],
        "polymorphicForeignKey": False,
        "precision": 18 if item.type in NUMERIC - {"int"} else 0,
        "queryByDistance": False,
        "referenceTargetField": None,
        "referenceTo": list(item.reference_to),
        "relationshipName": item.relationship,
        "relationshipOrder": None,
        "restrictedDelete": False,
        "restrictedPicklist": False,
        "scale": 2 if item.type == "currency" else 0,
        "soapType": _soap_type(item),
        "sortable": item.filterable,
        "type": item.type,
        "unique": item.unique,
        "updateable": item.updateable and sobject.updateable,
        "writeRequiresMasterRead": False,
    }


def _extra(item: Field) -> str | None:
    if item.type != "textarea":
        return None
    return "richtextarea" if item.html else "plaintextarea"


def _soap_type(item: Field) -> str:
    if item.type in IDS:
        return "tns:ID"
    if item.type in NUMERIC:
        return "xsd:int" if item.type == "int" else "xsd:double"
    return {"boolean": "xsd:boolean", "datetime": "xsd:dateTime", "date": "xsd:date"}.get(item.type, "xsd:string")
