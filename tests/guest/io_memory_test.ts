import fc from "fast-check";
import type {} from "../../mod.ts";
import { check } from "../support/iommu_model.ts";
import { firstPages, layout, operation } from "../support/iommu_operations.ts";

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
