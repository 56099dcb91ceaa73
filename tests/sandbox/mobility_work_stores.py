# SPDX-License-Identifier: Apache-2.0
"""The stand-in's bulk calls: every constraint of MW-E01 .. MW-E07, and the parts, stocks, equipments and locations
that come of them.

A call with one bad item is refused whole, each wrong member by its pointer with the item's index (/17/name, MW-C20);
the vendor does not say so, this is what we expect (U12). The two required objects of a new part whose names the
contract lost are taken as unitPrice and stock; both can be set (U9).
"""

import math
import re

LIMIT = 10000  # MW-C10
GTIN = re.compile(r"[0-9]{8,18}")
CURRENCY = re.compile(r"[A-Z]{3}")
LOCATION = re.compile(r"(?!$)\w")  # Python's \w, so é is a letter (U20)


def is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


# A rule is called with (problems, pointer, value) and adds what is wrong.


def text(least=0, most=None, null=False):
    def check(problems, pointer, value):
        if value is None and null:
            return
        if not isinstance(value, str):
            problems.add(pointer, "type", expected="string")
        elif len(value) < least:  # code points (U19)
            problems.add(pointer, "min_length", min=least, length=len(value))
        elif most is not None and len(value) > most:
            problems.add(pointer, "max_length", max=most, length=len(value))
    return check


def matching(pattern, rule):
    def check(problems, pointer, value):
        before = len(problems.found)
        rule(problems, pointer, value)
        if isinstance(value, str) and len(problems.found) == before and not pattern(value):
            problems.add(pointer, "pattern", value=value)
    return check


def integer(problems, pointer, value):
    if not is_integer(value):
        problems.add(pointer, "type", expected="integer")
    elif value < 0:
        problems.add(pointer, "minimum", min=0, value=value)


def number(problems, pointer, value):
    if not is_integer(value) and not (isinstance(value, float) and math.isfinite(value)):
        problems.add(pointer, "type", expected="number")
    elif value < 0:
        problems.add(pointer, "minimum", min=0, value=value)


def boolean(problems, pointer, value):
    if not isinstance(value, bool):
        problems.add(pointer, "type", expected="boolean")


def anything_object(problems, pointer, value):
    if not isinstance(value, dict):
        problems.add(pointer, "type", expected="object")


def listing(of, name):
    def check(problems, pointer, value):
        if not isinstance(value, list):
            problems.add(pointer, "type", expected="array")
            return
        for i, item in enumerate(value):
            if not isinstance(item, of):
                problems.add(f"{pointer}/{i}", "type", expected=name)
    return check


def price(problems, pointer, value):
    """MW-C13."""
    if not isinstance(value, dict):
        problems.add(pointer, "type", expected="object")
        return
    for name in ("amount", "currency"):
        if name not in value:
            problems.add(f"{pointer}/{name}", "required")
    if "amount" in value and not is_integer(value["amount"]):
        problems.add(f"{pointer}/amount", "type", expected="integer")
    if "currency" in value and not (isinstance(value["currency"], str) and CURRENCY.fullmatch(value["currency"])):
        problems.add(f"{pointer}/currency", "currency", value=value["currency"])


def place(problems, pointer, value):
    if not isinstance(value, dict):
        problems.add(pointer, "type", expected="object")
    elif "locationName" not in value:
        problems.add(f"{pointer}/locationName", "required")
    else:
        text(1)(problems, f"{pointer}/locationName", value["locationName"])


def nullable(rule):
    """MW-C14: null unsets."""
    def check(problems, pointer, value):
        if value is not None:
            rule(problems, pointer, value)
    return check


gtin = matching(GTIN.fullmatch, text())
objects, texts = listing(dict, "object"), listing(str, "string")


class Call:
    """One endpoint: its rules by member, the required ones, what an accepted item does."""

    def __init__(self, method, path, required, optional, apply, paid=False):
        self.method, self.path, self.required, self.optional = method, path, required, optional
        self.apply, self.paid = apply, paid  # paid: Premium and Ultimate only

    def check(self, problems, pointer, item):
        if not isinstance(item, dict):
            problems.add(pointer, "type", expected="object")
            return
        for name, rule in self.required.items():
            if name in item:
                rule(problems, f"{pointer}/{name}", item[name])
            else:
                problems.add(f"{pointer}/{name}", "required")
        for name, rule in self.optional.items():
            if name in item:
                rule(problems, f"{pointer}/{name}", item[name])


class Records:
    """Records by a member that several may share (MW-C16) and that an update may change."""

    def __init__(self, member):
        self.member, self.all, self.named = member, [], {}

    def add(self, record):
        self.all.append(record)
        self.named.setdefault(record.get(self.member), []).append(record)
        return record

    def find(self, value):
        """Whoever is updated is there: what was made before our time is not told by the contract."""
        return list(self.named.get(value, ())) or [self.add({self.member: value})]

    def change(self, record, item):
        """MW-C14: absent stays, null unsets, a value replaces."""
        before = record.get(self.member)
        for name, value in item.items():
            if name != "id" and value is None:
                record.pop(name, None)
            elif name != "id":
                record[name] = value
        if record.get(self.member) != before:
            self.named[before] = [other for other in self.named[before] if other is not record]
            self.named.setdefault(record.get(self.member), []).append(record)


class Stores:
    """What the network holds."""

    def __init__(self, network, typed):
        self.network, self.typed, self.settings = network, typed, network.settings
        self.forget()

    def forget(self):
        self.parts, self.equipments = Records("externalReference"), Records("itemCode")
        self.natives = {}  # native id -> equipment
        self.locations = {}  # name -> location
        self.stock = {}  # externalReference -> quantity
        self.places = {}  # externalReference -> name of the location of its stock

    def tell(self):
        return {"parts": self.parts.all, "equipments": self.equipments.all, "locations": list(self.locations.values()),
                "stock": self.stock, "places": self.places}

    def calls(self):
        """By path. Made anew for each request: two member names are settings."""
        settings = self.settings
        description = nullable(text(3, 3000))
        table = (
            Call("POST", "/partners/v1/spare-parts",  # MW-E01
                 {"externalReference": text(), "name": text(3, 255), settings["part_price_member"]: price,
                  settings["part_stock_member"]: anything_object},
                 {"description": text(3, 3000), "minimumStock": integer, "maximumStock": integer, "gtin": gtin,
                  "costCenter": text()}, self.create_part),
            Call("PUT", "/partners/v1/spare-parts/stock",  # MW-E02
                 {"id": self.part, "quantity": integer}, {}, self.set_stock, paid=True),
            Call("POST", "/partners/v1/spare-parts/attributes",  # MW-E03
                 {"id": self.part},
                 {"unitPrice": nullable(price), "name": text(3, 255), "description": description, "externalReference": text(),
                  "minimumStock": nullable(number), "maximumStock": nullable(number),
                  "replenishmentLot": nullable(number), "gtin": nullable(gtin), "costCenter": nullable(text()),
                  "customFields": nullable(objects), "tags": nullable(objects)}, self.update_part),
            Call("POST", "/partners/v1/equipments",  # MW-E04
                 {"name": text(1, 255)},
                 {**{name: text(null=True) for name in
                     ("description", "globalTradeItemNumber", "costCenter", "itemCode")},
                  "private": boolean, "tags": texts, "customFields": objects}, self.create_equipment),
            Call("POST", "/partners/v1/equipment/attributes",  # MW-E05
                 {"id": self.equipment},
                 {"name": text(3, 255), "description": description, "gtin": nullable(gtin), "costCenter": nullable(text(3, 255)),
                  "itemCode": nullable(text(1, 255)), "tags": nullable(texts), "customFields": nullable(objects)},
                 self.update_equipment, paid=True),
            Call("POST", "/partners/v1/locations/create/bulk",  # MW-E06
                 {"name": matching(LOCATION.match, text(1, 255))}, {}, self.create_location, paid=True),
            Call("POST", "/partners/v1/spare-parts/relocate/bulk",  # MW-E07
                 {"sparePartId": self.part, "target": self.known_place}, {"source": self.known_place}, self.relocate,
                 paid=True),
        )
        return {call.path: call for call in table}

    # ---- identifiers (MW-C17) and what they name

    def part(self, problems, pointer, value):
        if is_integer(value):
            problems.add(pointer, "type", expected="string or object")
            return
        typed = self.typed(problems, pointer, value, ("externalReference",),
                           lambda given: "externalReference" if given else None)
        known = self.settings["spare_parts"]
        if typed and known is not None and typed[1] not in known:
            problems.add(pointer, "spare_part.unknown", type=typed[0], value=typed[1])

    def equipment(self, problems, pointer, value):
        typed = self.typed(problems, pointer, value, ("native", "external"),
                           lambda given: None if given.strip().isdigit() or not given.strip() else "external")
        if typed and not self.network.knows("equipments", typed[1]):
            problems.add(pointer, "equipment.unknown", type=typed[0], value=typed[1])

    def known_place(self, problems, pointer, value):
        place(problems, pointer, value)
        name = value.get("locationName") if isinstance(value, dict) else None
        if isinstance(name, str) and name and name not in self.locations:
            problems.add(f"{pointer}/locationName", "location.unknown", value=name)  # they must exist (MW-E07)

    @staticmethod
    def key(identifier):
        """(type, value) of an identifier that passed."""
        if isinstance(identifier, dict):
            return identifier["type"], identifier["value"]
        return ("native" if is_integer(identifier) else None), identifier

    # ---- what an accepted item does

    def create_part(self, item):
        self.parts.add({name: value for name, value in item.items() if value is not None})
        quantity = item[self.settings["part_stock_member"]].get("quantity")
        if is_integer(quantity):
            self.stock[item["externalReference"]] = quantity

    def set_stock(self, item):
        self.stock[self.key(item["id"])[1]] = item["quantity"]

    def update_part(self, item):
        for part in self.parts.find(self.key(item["id"])[1]):
            self.parts.change(part, item)

    def create_equipment(self, item):
        native = len(self.equipments.all) + 1
        self.natives[native] = self.equipments.add(
            {"native": native, "private": True, "tags": [],
             **{name: value for name, value in item.items() if value is not None}})

    def update_equipment(self, item):
        kind, value = self.key(item["id"])
        if kind != "native":
            found = self.equipments.find(value)
        elif value in self.natives:
            found = [self.natives[value]]
        else:
            found = [self.equipments.add({"native": value})]
            self.natives[value] = found[0]
        for equipment in found:
            self.equipments.change(equipment, item)

    def create_location(self, item):
        self.locations[item["name"]] = item

    def relocate(self, item):
        """The whole stock of the source moves; without a source, the whole stock."""
        reference = self.key(item["sparePartId"])[1]
        source = item.get("source")
        if source is None or self.places.get(reference) in (None, source["locationName"]):
            self.places[reference] = item["target"]["locationName"]
