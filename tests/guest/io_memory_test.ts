import fc from "fast-check";
import type {} from "../../mod.ts";
import { check } from "../support/iommu_model.ts";
import { firstPages, keptReference, layout, operation } from "../support/iommu_operations.ts";

Deno.test("IommuMemory does what a table of bytes does, whatever is mapped where", () => {
  fc.assert(
    fc.property(
      layout,
      firstPages,
      fc.array(operation, { maxLength: 25, size: "max" }),
      (layout, pages, operations) => check(layout, [...pages, ...operations]),
    ),
    { numRuns: 3000 },
  );
});

Deno.test("IommuMemory that remembers translations does what a table of bytes does", () => {
  fc.assert(
    fc.property(
      layout,
      firstPages,
      fc.constantFrom(1, 2, 4, 8, 64),
      fc.array(
        fc.oneof(
          { weight: 6, arbitrary: operation },
          { weight: 1, arbitrary: keptReference },
        ),
        { maxLength: 40, size: "max" },
      ),
      (layout, pages, pageSize, operations) => check(layout, [...pages, ...operations], pageSize),
    ),
    { numRuns: 3000 },
  );
});
