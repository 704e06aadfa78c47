"""The org's objects and fields, as data: tests add to it, shorten it, and withdraw fields from the user."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

TEXTUAL = frozenset({"string", "url", "textarea", "picklist", "email", "phone", "combobox", "encryptedstring"})
IDS = frozenset({"id", "reference"})
NUMERIC = frozenset({"int", "double", "currency", "percent"})


@dataclass(slots=True, kw_only=True)
class Field:
    """One field. ``type`` is Salesforce's describe type; ``length`` counts characters of a text.

    ``readable`` and ``updateable`` are what field-level security leaves the API user. A text area above 255 characters
    cannot be filtered, sorted or grouped. ``indexed`` asks SQLite for an index.
    """

    name: str
    type: str = "string"
    label: str = ""
    length: int = 0
    nillable: bool = True
    createable: bool = True
    updateable: bool = True
    calculated: bool = False
    html: bool = False
    unique: bool = False
    indexed: bool = False
    reference_to: tuple[str, ...] = ()
    relationship: str | None = None
    readable: bool = True
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.label = self.label or self.name.removesuffix("__c").replace("_", " ")
        if not self.length:
            self.length = 18 if self.type in IDS else 255 if self.type in TEXTUAL else 0
        if self.calculated:
            self.createable = self.updateable = False

    @property
    def long_text(self) -> bool:
        """Whether this is a long or rich text area."""
        return self.type == "textarea" and self.length > 255

    @property
    def filterable(self) -> bool:
        """Whether WHERE, ORDER BY and GROUP BY may name it."""
        return not self.long_text and self.type != "encryptedstring"

    @property
    def column(self) -> str:
        """The SQL column definition. Text compares without case, as SOQL does; ids compare byte by byte."""
        if self.type in TEXTUAL:
            return f'"{self.name}" TEXT COLLATE NOCASE'
        kind = "INTEGER" if self.type in {"boolean", "int"} else "REAL" if self.type in NUMERIC else "TEXT"
        return f'"{self.name}" {kind}'


@dataclass(slots=True, kw_only=True)
class Rule:
    """A validation rule: an update that makes ``field`` match ``pattern`` fails with ``message``."""

    field: str
    pattern: str
    message: str
    code: str = "FIELD_CUSTOM_VALIDATION_EXCEPTION"


@dataclass(slots=True, kw_only=True)
class SObject:
    """One object: its name, its three-character id prefix and its fields."""

    name: str
    key_prefix: str
    fields: list[Field]
    label: str = ""
    updateable: bool = True
    readable: bool = True
    rules: list[Rule] = field(default_factory=list)
    restriction: tuple[str, str] | None = None
    """Code and message that any question without a special filter is answered by."""

    def __post_init__(self) -> None:
        self.label = self.label or self.name.removesuffix("__c").replace("_", " ")
        named = {item.name for item in self.fields}
        self.fields = [item for item in system_fields(self.name) if item.name not in named] + self.fields

    @property
    def custom(self) -> bool:
        """Whether the customer made it."""
        return self.name.endswith("__c")

    def column(self, name: str) -> Field | None:
        """A field by name in any case, whoever asks."""
        lowered = name.lower()
        return next((item for item in self.fields if item.name.lower() == lowered), None)

    def field(self, name: str) -> Field | None:
        """A field by name in any case, if the API user may read it."""
        found = self.column(name)
        return found if found is not None and found.readable else None

    def parent(self, relationship: str) -> Field | None:
        """The readable reference field behind a relationship name in any case."""
        lowered = relationship.lower()
        for item in self.fields:
            if item.readable and item.relationship is not None and item.relationship.lower() == lowered:
                return item
        return None


class Schema:
    """All objects of the org, found by name in any case."""

    def __init__(self, objects: Iterable[SObject]) -> None:
        self._objects = {item.name.lower(): item for item in objects}

    def __iter__(self) -> Iterator[SObject]:
        return iter(self._objects.values())

    def add(self, sobject: SObject) -> None:
        """Add or replace an object; the world needs ``World.refresh_tables`` afterwards."""
        self._objects[sobject.name.lower()] = sobject

    def find(self, name: str) -> SObject | None:
        """The object, if the API user may see it."""
        found = self._objects.get(name.lower())
        return found if found is not None and found.readable else None

    def get(self, name: str) -> SObject:
        """The object, whoever asks; raises KeyError."""
        return self._objects[name.lower()]


def system_fields(sobject: str) -> list[Field]:
    """Fields every object has; nobody can write them through the API, except the owner."""

    def system(name: str, kind: str, *, indexed: bool = False, to: str = "", relationship: str | None = None) -> Field:
        return Field(
            name=name,
            type=kind,
            nillable=False,
            createable=False,
            updateable=False,
            indexed=indexed,
            reference_to=(to,) if to else (),
            relationship=relationship,
        )

    owner = system("OwnerId", "reference", to="User", relationship="Owner")
    owner.createable = owner.updateable = True
    fields = [
        system("Id", "id"),
        system("IsDeleted", "boolean"),
        system("CreatedDate", "datetime"),
        system("CreatedById", "reference", to="User", relationship="CreatedBy"),
        system("LastModifiedDate", "datetime"),
        system("LastModifiedById", "reference", to="User", relationship="LastModifiedBy"),
        system("SystemModstamp", "datetime", indexed=True),
        owner,
    ]
    return fields if sobject not in {"User", "Organization"} else fields[:-1]


def _restricted(name: str, key_prefix: str, code: str, message: str) -> SObject:
    """An object of the platform that every org lists as queryable, and that nobody may query as a whole."""
    return SObject(
        name=name,
        key_prefix=key_prefix,
        fields=[Field(name="DurableId"), Field(name="Label")],
        updateable=False,
        restriction=(code, message),
    )


_RESTRICTED = (
    _restricted(
        "FieldDefinition",
        "4fd",
        "MALFORMED_QUERY",
        "FieldDefinition: a filter on a reified column is required [EntityDefinitionId,DurableId]",
    ),
    _restricted(
        "RelationshipDomain",
        "4rd",
        "MALFORMED_QUERY",
        "RelationshipDomain: \u5217\u3092\u7d5e\u308a\u8fbc\u3080\u5834\u5408\u3001\u6761\u4ef6\u306f"
        "\u5fc5\u9808\u3067\u3059 [DurableId]",
    ),
    _restricted(
        "Vote",
        "083",
        "MALFORMED_QUERY",
        "Implementation restriction: When querying the Vote object, you must filter using the following syntax: "
        "ParentId = [single ID], Parent.Type = [Type] or Id = [single ID]",
    ),
    _restricted(
        "ColorDefinition",
        "4cd",
        "EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION",
        "This type of query is not supported for this entity",
    ),
    _restricted(
        "UserFieldAccess", "4uf", "INVALID_TYPE_FOR_OPERATION", "entity type UserFieldAccess does not support query"
    ),
)


def default_schema() -> Schema:
    """The objects the engine meets: document list entries, their accounts, the organisation and its users, and some of
    those that may not be searched."""
    return Schema(
        [
            SObject(
                name="Account",
                key_prefix="001",
                fields=[
                    Field(name="Name", label="Account Name", nillable=False),
                    Field(name="Type", type="picklist", values=("Customer", "Prospect")),
                    Field(name="Website", type="url"),
                    Field(name="AnnualRevenue", type="currency"),
                    Field(name="NumberOfEmployees", type="int"),
                ],
            ),
            SObject(
                name="DocListEntry__c",
                label="Document List Entry",
                key_prefix="a0X",
                fields=[
                    Field(name="Name", label="Document List Entry Name", length=80, nillable=False),
                    Field(name="Document__c", type="url", label="Document"),
                    Field(name="Identifier__c"),
                    Field(
                        name="Account__c",
                        type="reference",
                        reference_to=("Account",),
                        relationship="Account__r",
                    ),
                    Field(name="Type_Current__c", label="Type (Current)"),
                    Field(name="Parent_Folder__c"),
                ],
            ),
            SObject(
                name="Organization",
                key_prefix="00D",
                updateable=False,
                fields=[
                    Field(name="Name", length=80, updateable=False),
                    Field(name="OrganizationType", type="picklist", updateable=False),
                    Field(name="IsSandbox", type="boolean", updateable=False),
                    Field(name="InstanceName", length=5, updateable=False),
                ],
            ),
            SObject(
                name="User",
                key_prefix="005",
                fields=[
                    Field(name="Name", updateable=False),
                    Field(name="Username", length=80),
                    Field(name="Email", type="email", length=128),
                    Field(name="IsActive", type="boolean"),
                ],
            ),
            *_RESTRICTED,
        ]
    )
