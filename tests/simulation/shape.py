"""The object that holds the links, as the org describes it."""

from __future__ import annotations

from engine.model.ids import to18

OBJECT, FIELD, OTHER = "DocListEntry__c", "Document__c", "Elsewhere__c"
US, OTHERS = to18("0055g00000SiMuL"), to18("0055g00000SiMuM")
"""The user of every login, and all other users."""

DESCRIBE = {
    "name": OBJECT,
    "queryable": True,
    "updateable": True,
    "fields": [
        {"name": "Id", "type": "id"},
        {"name": "Name", "type": "string"},
        {"name": FIELD, "type": "url", "length": 255, "updateable": True},
        {"name": OTHER, "type": "url", "length": 255, "updateable": True},
        {"name": "Account__c", "type": "reference", "relationshipName": "Account__r"},
        {"name": "SystemModstamp", "type": "datetime"},
        {"name": "LastModifiedById", "type": "reference", "relationshipName": "LastModifiedBy"},
        {"name": "IsDeleted", "type": "boolean"},
    ],
}
