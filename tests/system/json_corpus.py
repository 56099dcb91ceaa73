# SPDX-License-Identifier: Apache-2.0
"""Texts that are JSON, that are not, and of which RFC 8259 leaves the decision to the reader: {name: bytes}, the first
letter of a name is y, n or i. In the spirit of nst/JSONTestSuite, made from the grammar; `python3 json_corpus.py` lists them."""

import codecs

# What a reader may refuse, and why we do (None: taken). Each says so in its dead letter or 400.
DECIDED = {
    "i_number_huge_exponent": (b"[0.4e00669999999999999999999999999999999999999999999999999999]", None),
    "i_number_negative_huge_exponent": (b"[-1e+9999]", None),  # keeps its text; as a number it cannot be compared
    "i_number_tiny_exponent": (b"[123e-10000000]", None),
    "i_number_many_digits": (b"[0.1000000000000000055511151231257827021181583404541015625]", None),
    "i_number_largest_whole": (b"[18446744073709551615, -9223372036854775808]", None),
    "i_number_above_64_bits": (b"[18446744073709551616]", "64 bits"),
    "i_number_below_64_bits": (b"[-9223372036854775809]", "64 bits"),
    "i_number_of_40_digits": (b"[1234567890123456789012345678901234567890]", "64 bits"),
    "i_string_high_half_alone": (rb'["\uDADA"]', "surrogate"),
    "i_string_low_half_alone": (rb'["\uDd61"]', "surrogate"),
    "i_string_halves_swapped": (rb'["\uDd1e\uD834"]', "surrogate"),
    "i_string_high_half_twice": (rb'["\uD800\uD800"]', "surrogate"),
    "i_string_high_half_then_letter": (rb'["\uD800a"]', "surrogate"),
    "i_string_high_half_then_escape": (rb'["\uD800\n"]', "surrogate"),
    "i_string_high_half_then_no_half": (rb'["\uD888\u1234"]', "surrogate"),
    "i_string_half_in_a_name": (rb'{"\uDFAA":0}', "surrogate"),
    "i_string_invalid_utf8": (b'["\xff"]', "UTF-8"),
    "i_string_half_in_utf8": (b'["\xed\xa0\x80"]', "UTF-8"),
    "i_string_overlong_2": (b'["\xc0\xaf"]', "UTF-8"),
    "i_string_overlong_3": (b'["\xe0\x80\xaf"]', "UTF-8"),
    "i_string_overlong_nul": (b'["\xc0\x80"]', "UTF-8"),
    "i_string_cut_utf8": (b'["\xe0\xff"]', "UTF-8"),
    "i_string_lone_continuation": (b'["\x81"]', "UTF-8"),
    "i_string_past_unicode": (b'["\xf4\xbf\xbf\xbf"]', "UTF-8"),
    "i_string_six_bytes": (b'["\xfc\x83\xbf\xbf\xbf\xbf"]', "UTF-8"),
    "i_string_latin1": ('["é"]'.encode("latin-1"), "UTF-8"),
    "i_text_utf16le": ('["é"]'.encode("utf-16le"), "UTF-8"),
    "i_text_utf16be_bom": (codecs.BOM_UTF16_BE + '["é"]'.encode("utf-16be"), "UTF-8"),
    "i_text_utf16_ascii": ('["a"]'.encode("utf-16le"), "value should be"),
    "i_text_utf8_bom": (codecs.BOM_UTF8 + b"{}", "value should be"),
    "i_structure_64_deep": (b"[" * 64 + b"]" * 64, None),
    "i_structure_65_deep": (b"[" * 65 + b"]" * 65, "too deep"),
    "i_structure_500_deep": (b"[" * 500 + b"]" * 500, "too deep"),
    "i_structure_100000_deep": (b"[" * 100000 + b"]" * 100000, "too deep"),
    # RFC 8259 allows it; what cannot be kept as it came is refused rather than changed.
    "i_object_nul_in_a_name": (rb'{"foo\u0000bar": 42}', "NUL in a name"),
}

TAKEN = {
    "array_empty": b"[]", "array_in_array": b"[[]   ]", "array_of_empty_text": b'[""]', "array_ends_with_newline": b"[1\n]",
    "array_of_null": b"[null]", "array_of_kinds": b'[null, 1, "1", {}, [], true, false]', "array_leading_space": b" [1]",
    "array_trailing_space": b"[2] ", "array_of_nulls": b"[1,null,null,null,2]", "object_empty": b"{}",
    "object_empty_name": b'{"":0}', "object_name_twice": b'{"a":"b","a":"c"}', "object_pair_twice": b'{"a":"b","a":"b"}',
    "object_pairs": b'{"asd":"sdf", "dfg":"fgh"}', "object_in_object": b'{"a":{"b":{"c":[{}]}}}',
    "object_newlines": b'{\n"a": "b"\n}', "object_name_escaped": rb'{"\u0061\n\"":1}', "object_name_unicode": '{"é€😀":1}'.encode(),
    "object_long_texts": b'{"x":[{"id":"' + b"x" * 40 + b'"}], "id":"' + b"y" * 4000 + b'"}',
    "text_alone": b'"asd"', "text_empty_alone": b'""', "number_alone": b"42", "number_negative_alone": b"-0.1",
    "true_alone": b"true", "false_alone": b"false", "null_alone": b"null", "blanks_around": b" \t\r\n[] \t\r\n",
    "blanks_within": b'[ 1 ,\t2\n,\r\n3 ]', "string_delete": b'["a\x7fa"]', "string_comment": b'["a/*b*/c/*d//e"]',
    "string_numbers_and_words": b'["123e1", "null", "[1,]"]', "string_slash_both_ways": rb'["\/ /"]',
    "string_pair": rb'["\uD834\uDd1e"]', "string_two_pairs": rb'["\ud83d\ude39\ud83d\udc8d"]',
    "string_pair_in_utf8": '["\U0001d11e"]'.encode(), "string_noncharacter": rb'["\uFFFF\uDBFF\uDFFE"]',
    "string_noncharacter_utf8": '["\uffff\U0010fffe"]'.encode(), "string_line_separators": '["\u2028\u2029"]'.encode(),
    "string_escaped_nul": rb'["\u0000"]', "string_escaped_control": rb'["\u0012\u001f"]', "string_bom_inside": '["\ufeff"]'.encode(),
    "string_escaped_backslash_u": rb'["\\u0000 \\uD800"]', "string_hex_cases": rb'["\u00eF\u00Ef"]',
    "string_last_of_2_bytes": '["\u07ff"]'.encode(), "string_first_of_3_bytes": '["\u0800"]'.encode(),
    "string_around_surrogates": '["\ud7ff\ue000"]'.encode(), "string_last_of_unicode": '["\U0010ffff"]'.encode(),
    "structure_60_deep_objects": b'{"a":' * 60 + b"1" + b"}" * 60, "array_long": b"[" + b"1," * 5000 + b"1]",
}
NUMBERS = ["0", "-0", "4", "-1", "-123", "123e65", "0e+1", "0e1", "20e1", "1E22", "1E-2", "1E+2", "123e45", "123.456e78", "1e-2",
           "1e+2", "123.456789", "-0.1", "0.0", "-0.0e-0", "-0." + "0" * 70 + "1", "9223372036854775807", "1.50"]

NO_NUMBERS = ["-", "--1", "+1", "+", "++1234", "-01", "-1.0.", "-2.", ".-1", ".2e-3", "0.1.2", "0.3e+", "0.3e", "0.e1", "0e", "0e+",
              "0E", "1.0e+", "1.0e-", "1eE2", "1 000.0", "1e1e1", "2.e+3", "2.e-3", "2.e3", "9.e+", "Inf", "inf", "NaN", "-NaN",
              "Infinity", "-Infinity", "0x1", "0x42", "1+2", "- 1", "-012", "012", "00", "-00", "-1x", "1.2a-", "1.8011670033376514H-308",
              "1ea", "0.1e1.5", "1_000", "1,5e", ".5", "5.", "\uff11", "1f", "0b1", "0o7", "1e +2", "- Infinity", "1e5.", "1E"]
NO_VALUES = ["nul", "truth", "fals", "True", "FALSE", "None", "undefined", "'single'", "`tick`", "a", "*", "\u00e5", "<null>", "[", "]",
             "{", "}", ",", ":", '"', '""x', "1 true", "true,", ",true", ",,", "1,,2", ";", "//1", "/**/1", "1/**/", "#1", "@", "!1",
             "$", "%", "&1", "(1)", "~1", "?", "\\u0022x\\u0022", "\\n", "\\", "\u2060", "\u00a0", "\ufeff1", "1\u00a0", "\f1", "\v"]
NO_PAIRS = ['"a"', '"a":', ':"b"', '"a" "b"', '"a"::"b"', '"a":"b",', ',"a":1', '"a":1,,"b":2', "a:1", "'a':1", "1:1", "null:1",
            "[]:1", '"a":1 "b":2', '"a";1', '"a"=1', '"a"=>1', '"a":1;', '"a":a', '"a":1,b:2', '"a":"b"/**/', '"a":1,...', "*",
            '"a",1', '"a":"b":1', '"\\', '"a\\":1', '"a\n":1', '{"a"}:1', '"a":[}', '"a":1]']
NO_TEXTS = {
    "empty": b"", "blank": b" ", "newline": b"\n", "nul": b"\0", "nul_behind": b"[1]\0", "nul_before": b"\0[1]", "nul_between": b"[\0]",
    "escape_behind": b"[]\x1b", "two_arrays": b"[][]", "two_objects": b"{}{}", "two_lines": b"{}\n{}\n", "comma_behind": b"[1],",
    "bracket_behind": b"[1]]", "brace_behind": b'{"a":1}}', "hash_behind": b'{"a":1}#', "comment_behind": b"[1]//x",
    "bracket_for_brace": b'{"a":1]', "brace_for_bracket": b"[1}", "crossed": b'[{"a":1]}', "html": b"<.>", "xml": b"<a/>",
    "yaml": b"a: 1", "assignment": b"x={}", "callback": b"f({});", "prefix_against_hijacking": b")]}',\n{}", "bom_alone": codecs.BOM_UTF8,
    "cut_bom": b"\xef\xbb{}", "form_feed": b"[\x0c1]", "100000_open_arrays": b"[" * 100000, "50000_open_objects": b'[{"":' * 50000,
    "closed_first": b"]", "string_over_a_line": b'["a\nb"]', "string_escape_then_line": b'["\\\n"]',
    "string_backslash_at_end": b'["\\"]', "string_no_quote": b"[a\x00]", "string_unclosed": b'["abc', "number_then_nul": b"123\0",
    "number_then_letter": b"[0a]", "utf8_behind_number": b"[1\xe5]", "utf8_in_escape": b'["\\u\xe5"]', "utf8_escaped": b'["\\\xe5"]',
}


def corpus():
    """{name: (bytes, None or a word of the reason)}; any reason will do where it is ""."""
    cases = dict(DECIDED)

    def add(kind, family, texts, reason):
        for n, text in enumerate(texts):
            cases[f"{kind}_{family}_{n:02}"] = (text if isinstance(text, bytes) else text.encode(), reason)

    cases.update({f"y_{name}": (text, None) for name, text in TAKEN.items()})
    add("y", "number", (f"[{number}]" for number in NUMBERS), None)
    add("y", "escape", (rf'["\{letter}"]' for letter in '"\\/bfnrt'), None)
    cases.update({f"n_text_{name}": (text, "") for name, text in NO_TEXTS.items()})
    add("n", "number", (f"[{number}]" for number in NO_NUMBERS), "")
    add("n", "value", (f"[{value}]" for value in NO_VALUES if value not in ("[", "]")), "")
    add("n", "pair", (f"{{{pair}}}" for pair in NO_PAIRS), "")
    add("n", "control", (b'["' + bytes([code]) + b'"]' for code in range(32)), "control character")
    add("n", "escape", (f'["\\{chr(code)}"]' for code in range(33, 127) if chr(code) not in '"\\/bfnrtu'), "escape")
    add("n", "unicode_escape", (f'["\\u{digits}"]' for digits in ("", "0", "00", "00A", "00G0", "uD8", "{41}", "+041", " 041")), "escape")
    whole = '{"a":[1,true,null,"x\\u00e9é",-1.5e+3],"b":{"c":[]}}'.encode()
    add("n", "cut", (whole[:n] for n in range(len(whole))), "")
    return cases


if __name__ == "__main__":
    for name, (text, reason) in corpus().items():
        print(f"{name:36} {text[:60]!r:70} {'taken' if reason is None else reason}")
    print(len(corpus()), "texts")
