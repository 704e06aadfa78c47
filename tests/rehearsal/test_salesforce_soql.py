"""SOQL: what is understood, what comes back, and how it complains."""

from __future__ import annotations

from contextlib import closing, suppress
from urllib.parse import quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.rehearsal.salesforce import Field, Schema, SObject, World, default_schema
from engine.rehearsal.salesforce.clock import OrgClock
from engine.rehearsal.salesforce.soql.compiler import compile_query
from engine.rehearsal.salesforce.soql.parser import parse
from engine.rehearsal.salesforce.wire import ApiError
from tests.support.standin import VERSION, Caller, StillClock, calling

WEIRD = 'it\'s 100%_a\\b "q"\nend'


def furnish(org: Caller) -> dict[str, str]:
    """Two accounts and five entries; ids by name."""
    acme, bolt = org.world.load("Account", [{"Name": "Acme", "AnnualRevenue": 10}, {"Name": "Bolt"}])
    rows = [
        {"Name": "a", "Document__c": "https://x.test/1", "Account__c": acme, "Identifier__c": "one"},
        {"Name": "b", "Document__c": "https://x.test/2", "Account__c": bolt, "Identifier__c": "TWO"},
        {"Name": "c", "Document__c": None, "Account__c": acme, "SystemModstamp": "2020-01-01T00:00:00Z"},
        {"Name": "d", "Document__c": "http://other.test", "Type_Current__c": WEIRD},
        {"Name": "e", "IsDeleted": True},
    ]
    ids = org.world.load("DocListEntry__c", rows)
    return {"Acme": acme, "Bolt": bolt, **dict(zip("abcde", ids, strict=True))}


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("", "abcd"),
        ("WHERE Identifier__c = 'ONE'", "a"),
        ("where IDENTIFIER__C = 'two'", "b"),
        ("WHERE Document__c = null", "c"),
        ("WHERE Document__c = ''", "c"),
        ("WHERE Document__c != NULL AND Account__c != null", "ab"),
        ("WHERE Identifier__c != 'one'", "bcd"),
        ("WHERE NOT Identifier__c = 'one'", "bcd"),
        ("WHERE Document__c LIKE 'https://x%'", "ab"),
        ("WHERE Document__c LIKE 'https://x.test/_'", "ab"),
        ("WHERE NOT (Document__c LIKE 'https://x%')", "cd"),
        ("WHERE Name IN ('a', 'c', 'zzz')", "ac"),
        ("WHERE Name NOT IN ('a', 'c')", "bd"),
        ("WHERE Identifier__c NOT IN ('one')", "bcd"),
        ("WHERE Identifier__c IN ('one', null)", "acd"),
        ("WHERE Identifier__c NOT IN ('one', null)", "b"),
        ("WHERE Name = 'a' OR (Name > 'b' AND Name <= 'c')", "ac"),
        ("WHERE Account__r.Name = 'acme'", "ac"),
        ("WHERE Account__r.AnnualRevenue >= 10.0", "ac"),
        ("WHERE Account__r.Name = null", "d"),
        ("WHERE SystemModstamp < 2020-01-01T00:00:01Z", "c"),
        ("WHERE SystemModstamp <= 2020-01-01T01:00:00+01:00", "c"),
        ("WHERE SystemModstamp >= 2020-01-01T00:00:00.500Z", "abd"),
        ("WHERE IsDeleted = FALSE AND Name != 'a'", "bcd"),
        ("WHERE IsDeleted = true", ""),
        ("ORDER BY Name DESC", "dcba"),
        ("ORDER BY Identifier__c, Name", "cdab"),
        ("ORDER BY Identifier__c NULLS LAST, Name", "abcd"),
        ("ORDER BY Identifier__c DESC NULLS LAST, Name DESC", "badc"),
        ("ORDER BY Account__r.Name NULLS LAST, Name LIMIT 3", "acb"),
        ("ORDER BY Name LIMIT 2 OFFSET 1", "bc"),
        ("ORDER BY Name LIMIT 0", ""),
    ],
)
async def test_a_condition_finds_its_rows(where: str, found: str) -> None:
    async with calling() as org:
        furnish(org)

        assert "".join(await org.names(where)) == found


async def test_the_recycle_bin_shows_up_in_query_all_only() -> None:
    async with calling() as org:
        furnish(org)

        assert await org.names("ORDER BY Name", path="/queryAll") == list("abcde")
        assert await org.names("WHERE IsDeleted = TRUE", path="/queryAll") == ["e"]


@pytest.mark.parametrize(
    "literal",
    [
        r"'it\'s 100%_a\\b \"q\"\nend'",
        r"'it\'s 100%_a\\b \"q\"\Nend'",
        r"'\u0069t\'s 100%_a\\b \u0022q\"\nend'",
    ],
)
async def test_every_documented_escape_is_read(literal: str) -> None:
    async with calling() as org:
        furnish(org)

        assert await org.names(f"WHERE Type_Current__c = {literal}") == ["d"]


async def test_like_keeps_escaped_wildcards_and_backslashes_literal() -> None:
    async with calling() as org:
        furnish(org)

        assert await org.names(r"WHERE Type_Current__c LIKE 'it%100\%\_a\\b%'") == ["d"]
        assert await org.names(r"WHERE Type_Current__c LIKE '%100\_%'") == []


async def test_answers_use_the_schemas_case_and_carry_attributes() -> None:
    async with calling() as org:
        ids = furnish(org)
        answer = await org.query("select ID, document__C, account__R.nAmE from doclistENTRY__c where name = 'a'")

        assert answer.json == {
            "totalSize": 1,
            "done": True,
            "records": [
                {
                    "attributes": {
                        "type": "DocListEntry__c",
                        "url": f"/services/data/v62.0/sobjects/DocListEntry__c/{ids['a']}",
                    },
                    "Id": ids["a"],
                    "Document__c": "https://x.test/1",
                    "Account__r": {
                        "attributes": {
                            "type": "Account",
                            "url": f"/services/data/v62.0/sobjects/Account/{ids['Acme']}",
                        },
                        "Name": "Acme",
                    },
                }
            ],
        }


async def test_a_missing_parent_is_null_and_grandparents_can_be_asked_for() -> None:
    async with calling() as org:
        furnish(org)
        answer = await org.query(
            "SELECT Account__r.CreatedBy.Name, IsDeleted, CreatedDate FROM DocListEntry__c WHERE Name IN ('a','d') "
            "ORDER BY Name"
        )
        first, second = answer.json["records"]

        assert first["Account__r"]["CreatedBy"]["Name"] == "A Colleague"
        assert first["IsDeleted"] is False
        assert first["CreatedDate"] == "2026-11-22T10:00:00.000+0000"
        assert second["Account__r"] is None


async def test_an_id_may_be_given_short_or_long() -> None:
    async with calling() as org:
        ids = furnish(org)

        assert await org.names(f"WHERE Id = '{ids['b'][:15]}'") == ["b"]
        assert await org.names(f"WHERE Id = '{ids['b']}'") == ["b"]
        assert await org.names(f"WHERE Id > '{ids['b']}' ORDER BY Id") == ["c", "d"]


async def test_ids_compare_byte_by_byte() -> None:
    async with calling() as org:
        rows = [{"Id": f"a0X00000000000{letter}", "Name": letter} for letter in "0Z9aAz"]
        org.world.load("DocListEntry__c", rows)

        assert await org.names("ORDER BY Id") == ["0", "9", "A", "Z", "a", "z"]
        assert await org.names("WHERE Id > 'a0X00000000000Z' ORDER BY Id") == ["a", "z"]


async def test_counting_answers_in_total_size() -> None:
    async with calling() as org:
        furnish(org)
        whole = await org.query("SELECT COUNT() FROM DocListEntry__c WHERE Document__c != null")
        limited = await org.query("SELECT COUNT() FROM DocListEntry__c LIMIT 2")

        assert whole.json == {"totalSize": 3, "done": True, "records": []}
        assert limited.json["totalSize"] == 2


async def test_aggregates_name_themselves_or_take_an_alias() -> None:
    async with calling() as org:
        furnish(org)
        answer = await org.query(
            "SELECT COUNT(Id), COUNT_DISTINCT(Account__c) accounts, MIN(Name), MAX(Name) last FROM DocListEntry__c"
        )
        money = await org.query("SELECT SUM(AnnualRevenue) FROM Account")

        assert answer.json["totalSize"] == 1
        assert answer.json["records"] == [
            {"attributes": {"type": "AggregateResult"}, "expr0": 4, "accounts": 2, "expr1": "a", "last": "d"}
        ]
        assert money.json["records"][0]["expr0"] == 10.0


async def test_grouping_counts_per_value_and_having_filters_groups() -> None:
    async with calling() as org:
        ids = furnish(org)
        answer = await org.query(
            "SELECT Account__c, COUNT(Id) n FROM DocListEntry__c "
            "GROUP BY Account__c ORDER BY COUNT(Id) DESC, Account__c"
        )
        big = await org.query(
            "SELECT Account__r.Name FROM DocListEntry__c GROUP BY Account__r.Name HAVING COUNT(Id) > 1 LIMIT 10"
        )

        assert [(row["Account__c"], row["n"]) for row in answer.json["records"]] == [
            (ids["Acme"], 2),
            (None, 1),
            (ids["Bolt"], 1),
        ]
        assert [row["Name"] for row in big.json["records"]] == ["Acme"]


async def test_more_than_two_thousand_groups_need_a_limit() -> None:
    async with calling() as org:
        org.load(2001)
        soql = "SELECT Name, COUNT(Id) FROM DocListEntry__c GROUP BY Name"
        refused = await org.query(soql)
        limited = await org.query(soql + " LIMIT 2000")

        assert refused.status == 400
        assert refused.code == "EXCEEDED_ID_LIMIT"
        assert "does not support queryMore()" in refused.message
        assert len(limited.json["records"]) == 2000


@pytest.mark.parametrize(
    ("soql", "code", "words"),
    [
        ("SELECT Id, Nope FROM DocListEntry__c", "INVALID_FIELD", "No such column 'Nope' on entity 'DocListEntry__c'"),
        ("SELECT Nope__r.Id FROM DocListEntry__c", "INVALID_FIELD", "Didn't understand relationship 'Nope__r'"),
        ("SELECT Id FROM Nope", "INVALID_TYPE", "sObject type 'Nope' is not supported."),
        ("SELECT Id FROM DocListEntry__c WHERE", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT Id DocListEntry__c", "MALFORMED_QUERY", "unexpected token: 'DocListEntry__c'"),
        ("SELECT FROM DocListEntry__c", "MALFORMED_QUERY", "unexpected token: 'FROM'"),
        ("SELECT Id, Id FROM DocListEntry__c", "MALFORMED_QUERY", "duplicate field selected: Id"),
        ('SELECT Id FROM DocListEntry__c WHERE Name = "a"', "MALFORMED_QUERY", "unexpected token"),
        (r"SELECT Id FROM DocListEntry__c WHERE Name = '\q'", "MALFORMED_QUERY", r"Illegal character sequence '\q'"),
        (r"SELECT Id FROM DocListEntry__c WHERE Name = 'a\%'", "MALFORMED_QUERY", "Illegal character sequence"),
        ("SELECT Id FROM DocListEntry__c WHERE Name = 'open", "MALFORMED_QUERY", "unexpected token: '''"),
        ("SELECT Id FROM DocListEntry__c WHERE Name = 'a' AND Name = 'b' OR Name = 'c'", "MALFORMED_QUERY", "'OR'"),
        ("SELECT Id FROM DocListEntry__c WHERE IsDeleted", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM DocListEntry__c WHERE Id = 'zz'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: zz"),
        (
            "SELECT Id FROM DocListEntry__c WHERE CreatedDate > '2020-01-01T00:00:00Z'",
            "INVALID_FIELD",
            "must be of type dateTime and should not be enclosed in quotes",
        ),
        (
            "SELECT Id FROM DocListEntry__c WHERE CreatedDate > 2020-01-01T00:00:00",
            "MALFORMED_QUERY",
            "unexpected token",
        ),
        ("SELECT Id FROM DocListEntry__c WHERE CreatedDate > 1500-01-01T00:00:00Z", "MALFORMED_QUERY", "out of range"),
        ("SELECT Id FROM DocListEntry__c WHERE Name = 5", "INVALID_FIELD", "should be enclosed in quotes"),
        ("SELECT Id FROM DocListEntry__c WHERE IsDeleted = 'true'", "INVALID_FIELD", "of type boolean"),
        ("SELECT Id FROM DocListEntry__c WHERE Id LIKE 'a%'", "INVALID_QUERY_FILTER_OPERATOR", "invalid operator"),
        ("SELECT COUNT(), Id FROM DocListEntry__c", "MALFORMED_QUERY", "COUNT() must be the only element"),
        ("SELECT COUNT(Id) FROM DocListEntry__c LIMIT 5", "MALFORMED_QUERY", "cannot also use LIMIT"),
        ("SELECT Name, COUNT(Id) FROM DocListEntry__c", "MALFORMED_QUERY", "must be grouped or aggregated: Name"),
        ("SELECT Id FROM DocListEntry__c OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset"),
        ("SELECT Id FROM DocListEntry__c LIMIT -1", "MALFORMED_QUERY", "unexpected token: '-1'"),
        ("SELECT (SELECT Id FROM X) FROM Account", "MALFORMED_QUERY", "subqueries"),
        ("", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
    ],
)
async def test_a_wrong_statement_is_400_with_its_code(soql: str, code: str, words: str) -> None:
    async with calling() as org:
        answer = await org.query(soql)

        assert answer.status == 400
        assert answer.code == code
        assert words in answer.message


async def test_the_message_points_at_row_and_column() -> None:
    async with calling() as org:
        answer = await org.query("SELECT Id,\n  Nope FROM DocListEntry__c")

        assert answer.message.startswith("\n  Nope FROM DocListEntry__c\n  ^\nERROR at Row:2:Column:3\nNo such column")


@pytest.mark.parametrize("text", ["'" + "x" * 4001 + "'", "'a'" + " " * 100_000])
def test_statements_and_strings_beyond_their_limits_are_malformed(text: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse(f"SELECT Id FROM DocListEntry__c WHERE Name = {text}")

    assert caught.value.code == "MALFORMED_QUERY"


def test_a_string_of_four_thousand_characters_is_fine() -> None:
    assert parse(f"SELECT Id FROM DocListEntry__c WHERE Name = '{'x' * 4000}'").where is not None


KEYWORDS = "SELECT FROM WHERE GROUP BY HAVING ORDER LIMIT OFFSET AND OR NOT IN LIKE NULL NULLS LAST DESC TRUE"
OPERANDS = "COUNT MAX Id Name Account__c Account__r.Name IsDeleted CreatedDate DocListEntry__c ( ) , = != >"
CONSTANTS = "'a' '\\' '' 5 -1 99999999999999999999 2020-01-01 2020-01-01T00:00:00Z 0001-01-01T00:00:00+05:00"
WORDS = st.lists(st.sampled_from(f"{KEYWORDS} {OPERANDS} {CONSTANTS}".split()), max_size=20)


@settings(deadline=None)
@given(WORDS, st.sampled_from(["", "SELECT Id FROM DocListEntry__c", "SELECT Id FROM DocListEntry__c WHERE Name "]))
def test_any_words_at_all_are_either_refused_or_become_sql_that_runs(words: list[str], start: str) -> None:
    world = World(default_schema(), OrgClock(StillClock()), None, "005000000000001")
    with closing(world), suppress(ApiError):  # anything else, from the parser or from SQLite, fails the test
        compiled = compile_query(parse(f"{start} {' '.join(words)}"), world.schema)
        found = world.connection.execute(compiled.sql(), compiled.params).fetchall()
        assert len(found) <= 1  # an empty org has no rows, only totals


@pytest.mark.parametrize("where", ["(" * 500, "NOT " * 500])
def test_a_filter_too_deep_is_refused(where: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse(f"SELECT Id FROM Account WHERE {where}")

    assert caught.value.code == "QUERY_TOO_COMPLICATED"


async def test_a_filter_too_wide_is_refused() -> None:
    async with calling() as org:
        soql = f"SELECT Id FROM Account WHERE {' AND '.join(['Name != null'] * 3000)}"
        url = f"{VERSION}/query?q={quote_plus(soql)}"
        parts = [{"method": "GET", "url": url, "referenceId": "wide"}]
        answer = await org.call("POST", "/composite", json={"compositeRequest": parts})

        assert answer.json["compositeResponse"][0]["body"][0]["errorCode"] == "QUERY_TOO_COMPLICATED"


def long_text_schema() -> Schema:
    """The usual objects and one with two long texts."""
    schema = default_schema()
    longs = [Field(name=name, type="textarea", length=32768) for name in ("Notes__c", "More__c")]
    schema.add(SObject(name="Essay__c", key_prefix="a0Y", fields=[Field(name="Name"), *longs]))
    return schema


async def test_long_texts_cannot_be_filtered_or_sorted() -> None:
    async with calling(schema=long_text_schema()) as org:
        filtered = await org.query("SELECT Id FROM Essay__c WHERE Notes__c = 'x'")
        ordered = await org.query("SELECT Id FROM Essay__c ORDER BY Notes__c")

        assert filtered.code == "INVALID_FIELD"
        assert "can not be filtered" in filtered.message
        assert ordered.status == 400


async def test_two_long_texts_in_select_make_pages_of_two_hundred() -> None:
    async with calling(schema=long_text_schema()) as org:
        org.world.load("Essay__c", [{"Name": str(n), "Notes__c": "n", "More__c": "m"} for n in range(300)])
        one = await org.query("SELECT Notes__c FROM Essay__c LIMIT 250")
        two = await org.query("SELECT Notes__c, More__c FROM Essay__c LIMIT 250")

        assert len(one.json["records"]) == 250
        assert len(two.json["records"]) == 200
        assert two.json["done"] is False
        assert two.json["totalSize"] == 250


@pytest.mark.parametrize(
    ("soql", "index"),
    [
        ("SELECT Name FROM DocListEntry__c WHERE Id > 'a0X000000000001' ORDER BY Id", "PRIMARY KEY (Id>?)"),
        (
            "SELECT Account__r.Name FROM DocListEntry__c WHERE Name != null AND Id > 'a0X000000000001' ORDER BY Id",
            "PRIMARY KEY (Id>?)",
        ),
        (
            "SELECT Name FROM DocListEntry__c WHERE SystemModstamp >= 2026-01-01T00:00:00Z ORDER BY SystemModstamp, Id",
            "INDEX DocListEntry__c_SystemModstamp (SystemModstamp>?)",
        ),
    ],
)
async def test_the_queries_of_a_scan_use_an_index_and_do_not_sort(soql: str, index: str) -> None:
    async with calling(login=False) as org:
        compiled = compile_query(parse(soql), org.server.org.schema)
        plan = [row[3] for row in org.world.connection.execute(f"EXPLAIN QUERY PLAN {compiled.sql()}", compiled.params)]

        assert index in plan[0]
        assert not any("TEMP B-TREE" in line for line in plan)


async def test_explain_tells_whether_an_index_leads() -> None:
    async with calling() as org:
        keyset = await org.call(
            "GET", "/query", params={"explain": "SELECT Id FROM DocListEntry__c WHERE Id > 'a0X000000000001'"}
        )

        assert keyset.json["plans"][0]["leadingOperationType"] == "Index"
