/* SPDX-License-Identifier: Apache-2.0 */
/* The operations that take up to 10,000 items in one request, as tables (MW-E01 .. MW-E07). */
#include "mobility_work.h"

static const char *price_name(const struct mw_config *config)
{
    return config->part_price_member;
}

static const char *stock_name(const struct mw_config *config)
{
    return config->part_stock_member;
}

static const struct mw_member new_part[] = {
    {"/externalReference", mw_read_text, MW_REQUIRED, 1, 0, NULL},
    {"/name", mw_read_text, MW_REQUIRED, 3, 255, NULL},
    {"/description", mw_read_text, 0, 3, 3000, NULL},
    {"/unitPrice", mw_read_new_price, MW_REQUIRED, 0, 0, price_name},
    {"/stock", mw_read_new_stock, MW_REQUIRED, 0, 0, stock_name},
    {"/minimumStock", mw_read_whole, 0, 0, 0, NULL},
    {"/maximumStock", mw_read_whole, 0, 0, 0, NULL},
    {"/gtin", mw_read_gtin, 0, 0, 0, NULL},
    {"/costCenter", mw_read_text, 0, 0, 0, NULL},
};

static const struct mw_member stock[] = {
    {"/id", mw_read_part, MW_REQUIRED, 0, 0, NULL},
    {"/quantity", mw_read_whole, MW_REQUIRED, 0, 0, NULL},
};

static const struct mw_member part[] = {
    {"/id", mw_read_part, MW_REQUIRED, 0, 0, NULL},
    {"/unitPrice", mw_read_price, MW_UNSETS, 0, 0, NULL},
    {"/name", mw_read_text, MW_NOT_NULL, 3, 255, NULL},
    {"/description", mw_read_text, MW_UNSETS, 3, 3000, NULL},
    {"/externalReference", mw_read_text, MW_NOT_NULL, 1, 0, NULL},
    {"/minimumStock", mw_read_number, MW_UNSETS, 0, 0, NULL},
    {"/maximumStock", mw_read_number, MW_UNSETS, 0, 0, NULL},
    {"/replenishmentLot", mw_read_number, MW_UNSETS, 0, 0, NULL},
    {"/gtin", mw_read_gtin, MW_UNSETS, 0, 0, NULL},
    {"/costCenter", mw_read_text, MW_UNSETS, 0, 0, NULL},
    {"/customFields", mw_read_objects, MW_UNSETS, 0, 0, NULL},
    {"/tags", mw_read_objects, MW_UNSETS, 0, 0, NULL},
};

static const struct mw_member new_equipment[] = {
    {"/name", mw_read_text, MW_REQUIRED, 1, 255, NULL},
    {"/description", mw_read_text, 0, 0, 0, NULL},
    {"/globalTradeItemNumber", mw_read_text, 0, 0, 0, NULL},
    {"/costCenter", mw_read_text, 0, 0, 0, NULL},
    {"/itemCode", mw_read_text, 0, 0, 0, NULL},
    {"/private", mw_read_bool, 0, 0, 0, NULL},
    {"/tags", mw_read_texts, 0, 0, 0, NULL},
    {"/customFields", mw_read_objects, 0, 0, 0, NULL},
};

static const struct mw_member equipment[] = {
    {"/id", mw_read_equipment, MW_REQUIRED, 0, 0, NULL},      {"/name", mw_read_text, MW_NOT_NULL, 3, 255, NULL},
    {"/description", mw_read_text, MW_UNSETS, 3, 3000, NULL}, {"/gtin", mw_read_gtin, MW_UNSETS, 0, 0, NULL},
    {"/costCenter", mw_read_text, MW_UNSETS, 3, 255, NULL},   {"/itemCode", mw_read_text, MW_UNSETS, 1, 255, NULL},
    {"/tags", mw_read_texts, MW_UNSETS, 0, 0, NULL},          {"/customFields", mw_read_objects, MW_UNSETS, 0, 0, NULL},
};

static const struct mw_member new_location[] = {
    {"/name", mw_read_location, MW_REQUIRED, 1, 255, NULL},
};

static const struct mw_member move[] = {
    {"/sparePartId", mw_read_part, MW_REQUIRED, 0, 0, NULL},
    {"/source", mw_read_place, 0, 0, 0, NULL},
    {"/target", mw_read_place, MW_REQUIRED, 0, 0, NULL},
};

/* "equipments" and "equipment", PUT only for the stock: so it is in the API. */
const struct mw_bulk mw_spare_part_create = {.method = "POST",
                                             .path = "/partners/v1/spare-parts",
                                             .fault_code = "invalid_spare_part",
                                             .fault_subject = "the spare part would be refused",
                                             .members = new_part,
                                             .member_count = PL_COUNT(new_part)};
const struct mw_bulk mw_spare_part_set_stock = {.method = "PUT",
                                                .path = "/partners/v1/spare-parts/stock",
                                                .fault_code = "invalid_stock",
                                                .fault_subject = "the stock would be refused",
                                                .members = stock,
                                                .member_count = PL_COUNT(stock)};
const struct mw_bulk mw_spare_part_update = {.method = "POST",
                                             .path = "/partners/v1/spare-parts/attributes",
                                             .fault_code = "invalid_spare_part",
                                             .fault_subject = "the update would be refused",
                                             .members = part,
                                             .member_count = PL_COUNT(part)};
const struct mw_bulk mw_spare_part_relocate = {.method = "POST",
                                               .path = "/partners/v1/spare-parts/relocate/bulk",
                                               .fault_code = "invalid_relocation",
                                               .fault_subject = "the relocation would be refused",
                                               .members = move,
                                               .member_count = PL_COUNT(move),
                                               .open_ended = true};
const struct mw_bulk mw_equipment_create = {.method = "POST",
                                            .path = "/partners/v1/equipments",
                                            .fault_code = "invalid_equipment",
                                            .fault_subject = "the equipment would be refused",
                                            .members = new_equipment,
                                            .member_count = PL_COUNT(new_equipment)};
const struct mw_bulk mw_equipment_update = {.method = "POST",
                                            .path = "/partners/v1/equipment/attributes",
                                            .fault_code = "invalid_equipment",
                                            .fault_subject = "the update would be refused",
                                            .members = equipment,
                                            .member_count = PL_COUNT(equipment)};
const struct mw_bulk mw_location_create = {.method = "POST",
                                           .path = "/partners/v1/locations/create/bulk",
                                           .fault_code = "invalid_location",
                                           .fault_subject = "the location would be refused",
                                           .members = new_location,
                                           .member_count = PL_COUNT(new_location),
                                           .open_ended = true};

const char *mw_bulk_check(const struct mw_call *call, const struct mw_bulk *bulk, struct bb_str body)
{
    struct mw_items items;
    struct mw_item item;
    mw_items_start(&items, call);
    mw_item_start(&item, &items, body);
    mw_item_read(&item, bulk);
    mw_item_finish(&item);
    mw_items_finish(&items);
    return item.faults.said.text;
}
