import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { given } from "./range";

/** The pages of a list; old ones stay visible while another list is read. */
export function usePages<T>(
  key: readonly unknown[],
  read: (cursor: { cursor?: string }) => Promise<{ items: T[]; next_cursor: string | null }>,
  refetchInterval: number | false = false,
) {
  return useInfiniteQuery({
    queryKey: key,
    placeholderData: keepPreviousData,
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => read(given({ cursor: pageParam })),
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    refetchInterval,
  });
}
